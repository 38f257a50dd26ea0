"""POST one small document: webhooks, tokens, the pages that answer programs."""

from __future__ import annotations

from collections.abc import Mapping

from blastwall.local.asking import ask

TIMEOUT = 5.0  # seconds for each step
DEADLINES = 2.0  # times the timeout: what the whole answer may take
LARGEST = 256 * 1024  # bytes of an answer


def post(address: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """The body of a 2xx answer. Only HTTPS, or HTTP to this machine. Raises UpstreamFault."""
    _, answer = ask(
        "POST", address, headers, body, LARGEST, timeout=TIMEOUT, deadline=DEADLINES * TIMEOUT, wanted=range(200, 300)
    )
    return answer


def exchange(address: str, headers: Mapping[str, str], body: bytes, *, timeout: float = TIMEOUT) -> tuple[int, bytes]:
    """The same with whatever status: for those whose refusals say why. ``timeout`` in seconds for each step."""
    return ask("POST", address, headers, body, LARGEST, timeout=timeout, deadline=DEADLINES * timeout)
