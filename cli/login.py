"""``blastwall login``: sign in at a SAML identity provider, and get a token of the gateway's own for it."""

from __future__ import annotations

import json
import queue
import secrets
import threading
import webbrowser
from contextlib import ExitStack
from hmac import compare_digest
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlencode, urlsplit

import click

from blastwall.approvals.visible import visible
from blastwall.approvals.web import Request, Response
from blastwall.errors import ClientFault, TokenFault, UpstreamFault
from blastwall.identity.saml_sign_in import ENTROPY, hashed, secret
from blastwall.local.loopback import Loopback
from blastwall.local.post import exchange
from cli import place
from rig import running

PAGE_VARIABLE: Final = "BLASTWALL_PAGE"
SECONDS_A_REQUEST: Final = 5.0
LONGEST_CODE: Final = 100
TEXT: Final = "text/plain; charset=utf-8"


class Listener:
    """Waits on loopback for the browser to come back with a code (RFC 8252 section 7.3). A context manager."""

    def __init__(self) -> None:
        self._server = Loopback("127.0.0.1", 0, "login")
        self.port = self._server.port
        self._expected = ""
        self._ready = threading.Event()  # `_expected` is known: the address is printed at the same moment
        self._codes: queue.Queue[str] = queue.Queue()

    def __enter__(self) -> Self:
        self._server.start(self._answer)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def wait(self, id: str, seconds: float) -> str:
        """The code for the sign-in ``id``. Raises TokenFault when nobody brings it within ``seconds``."""
        self._expected = id
        self._ready.set()
        try:
            return self._codes.get(timeout=seconds)
        except queue.Empty:
            raise TokenFault("nobody signed in in time; run the command again") from None

    def _answer(self, request: Request) -> Response:
        id, code = request.query.get("id", ""), request.query.get("code", "")
        asked = request.method == "GET" and request.path == "/" and self._awaited(id)
        if not asked or not 0 < len(code) <= LONGEST_CODE:
            return Response(404, b"There is nothing here.\n", TEXT)
        self._codes.put(code)
        return Response(200, b"You are signed in. Go back to your terminal; this page can be closed.\n", TEXT)

    def _awaited(self, id: str) -> bool:
        known = self._ready.wait(SECONDS_A_REQUEST)
        return known and compare_digest(self._expected.encode(), id.encode())


@click.command(short_help="Sign in at a SAML identity provider for a token.")
@click.option("--saml", "provider", required=True, metavar="NAME", help="The provider's name in identity.saml.")
@click.option(
    "--page",
    envvar=PAGE_VARIABLE,
    metavar="URL",
    help=f"Where the gateway's page is.  [default: ${PAGE_VARIABLE}, else the local gateway's]",
)
@click.option("--open/--no-open", "opens", default=True, help="Open a browser, or only print the address.")
@click.option("--paste", is_flag=True, help="The browser is on another machine: paste the code that it shows.")
@place.state_option
@place.format_option("text", "json")
def command(provider: str, page: str | None, opens: bool, paste: bool, state: Path, form: str) -> None:
    """Print a token for who signs in, and nothing else: export BLASTWALL_TOKEN=$(blastwall login --saml corp)."""
    page = (page or _local(state)).rstrip("/")
    verifier = secret(secrets.token_bytes(ENTROPY))
    with ExitStack() as stack:
        listener = None if paste else stack.enter_context(Listener())
        form_of = {"idp": provider, "challenge": hashed(verifier), "port": str(listener.port if listener else 0)}
        begun = _ask(page, "begin", form_of, "id", "url", "expires_in")
        id, url, seconds = str(begun["id"]), str(begun["url"]), float(begun["expires_in"])
        if urlsplit(url).scheme not in ("https", "http"):
            raise UpstreamFault(f"{page} names no address to sign in at")
        click.echo(f"sign in here: {visible(url)}", err=True)
        if opens and not paste:
            webbrowser.open(url)
        code = listener.wait(id, seconds) if listener else _pasted()
    found = _ask(page, "token", {"id": id, "code": code, "verifier": verifier}, "token", "expires_at")
    if form == "json":
        place.echo_json({"token": str(found["token"]), "expires_at": int(found["expires_at"])})
    else:
        click.echo(str(found["token"]))


def _local(state: Path) -> str:
    found = running.read(state)
    if found is None or not found.page:
        raise ClientFault(
            f"no gateway runs with the state directory {state}: start one with `blastwall up`, "
            f"or say where the page is with --page or {PAGE_VARIABLE}"
        )
    return found.page


def _pasted() -> str:
    code: str = click.prompt("code", err=True)
    return code.strip()[:LONGEST_CODE]


def _ask(page: str, verb: str, form: dict[str, str], *members: str) -> dict[str, Any]:
    """One question to the page, and its answer with ``members``; its refusal in its own words. Raises TokenFault,
    UpstreamFault."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    status, body = exchange(f"{page}/saml/{verb}", headers, urlencode(form).encode())
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if status == 200 and isinstance(answer, dict) and answer.keys() >= set(members):
        return answer
    if isinstance(answer, dict) and "error" in answer:
        raise TokenFault(visible(str(answer["error"])[:500]))
    raise UpstreamFault(f"{page} does not sign people in (status {status}): is identity.saml configured there?")
