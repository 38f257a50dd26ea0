"""HTTP as values: what a browser asked and what it is answered, whether a socket or a Lambda event carried it. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

LARGEST_BODY = 64 * 1024
MOST_FIELDS = 32

#: On every answer: nothing is cached, framed, scripted, sniffed or told to others. same-origin, not no-referrer:
#: without a referrer browsers send `Origin: null` with forms.
HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Request:
    """Header names are in lower case; a query field given twice keeps its last value."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def form(self) -> Mapping[str, str]:
        """The fields of a posted form. Raises ValueError for anything else."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise ValueError("a form is expected")
        return fields_of(self.body.decode("utf-8"))


@dataclass(frozen=True, slots=True)
class Response:
    """``headers`` come on top of :data:`HEADERS`; ``cookies`` are whole Set-Cookie values."""

    status: int
    body: bytes = b""
    kind: str = "text/html; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: tuple[str, ...] = ()

    def lines(self) -> list[tuple[str, str]]:
        """All headers but the cookies."""
        return [*{**HEADERS, "Content-Type": self.kind, **self.headers}.items()]


def fields_of(text: str) -> Mapping[str, str]:
    """Fields of a query or a form. Raises ValueError when there are more than 32 or the text is not one."""
    return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"))


def cookies_of(header: str) -> Mapping[str, str]:
    """The cookies of a Cookie header; none if it is malformed."""
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header).items()}
    except CookieError:
        return {}


def make_request(method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes) -> Request:
    """From what an HTTP server read. Raises ValueError for a query that is none."""
    path, _, query = target.partition("?")
    named = {name.lower(): value for name, value in headers}
    return Request(method, path, fields_of(query), named, cookies_of(named.get("cookie", "")), body)


def from_event(event: Mapping[str, Any]) -> Request:
    """From the event of an HTTP API or a function URL (payload format 2.0). Raises ValueError or KeyError."""
    text = str(event.get("body") or "")
    try:
        body = base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()
    except binascii.Error as fault:
        raise ValueError("the body is not base64") from fault
    if len(body) > LARGEST_BODY:
        raise ValueError("the body is too large")
    headers = [(str(name), str(value)) for name, value in (event.get("headers") or {}).items()]
    request = make_request(
        str(event["requestContext"]["http"]["method"]),
        f"{event['rawPath']}?{event.get('rawQueryString', '')}",
        headers,
        body,
    )
    cookies = cookies_of("; ".join(event.get("cookies") or ()))
    return Request(request.method, request.path, request.query, request.headers, cookies or request.cookies, body)


def to_event(response: Response) -> dict[str, Any]:
    """The answer in payload format 2.0."""
    return {
        "statusCode": response.status,
        "headers": dict(response.lines()),
        "cookies": list(response.cookies),
        "body": base64.b64encode(response.body).decode("ascii"),
        "isBase64Encoded": True,
    }
