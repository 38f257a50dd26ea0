"""``blastwall login``: the address on standard error, the token alone on standard output, the code by loopback or by hand."""

from __future__ import annotations

import base64
import json
import queue
import re
import secrets
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec

from blastwall.approvals.web import Request, Response
from blastwall.errors import TokenFault
from blastwall.identity.jwt import verify
from blastwall.identity.saml_door import Door, Federation, acs_of
from blastwall.identity.saml_sign_in import hashed
from blastwall.identity.saml_token import key_set, rules_of
from blastwall.local.page_server import PageServer
from blastwall.local.sign_ins import MemorySignIns
from blastwall.local.token_key import LocalTokenKey
from blastwall.model import Secret
from cli.login import Listener, command
from tests.blastwall.identity import saml_forge as forge
from tests.blastwall.identity.saml_forge import NOW, asked, idp, provider

KEY = LocalTokenKey(ec.generate_private_key(ec.SECP256R1()))
SECONDS = 30.0


@pytest.fixture
def page() -> Iterator[str]:
    """The address of a page with a provider that is forged, at the forge's own time."""
    server = PageServer("127.0.0.1", 0)
    corp = replace(provider(), acs=acs_of(server.origin, "corp"))

    def prepare() -> tuple[Callable[[Request], object], Callable[[], None]]:
        federations = {"corp": Federation(corp, "https://idp.example/sso", 600.0)}
        door = Door(federations, MemorySignIns(), KEY, lambda: NOW, secrets.token_bytes, lambda line: None)
        return door.handle, lambda: None

    server.start(prepare)
    yield server.origin
    server.stop()


def get(address: str, host: str = "") -> tuple[int, str]:
    request = urllib.request.Request(address, headers={"Host": host} if host else {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def begin(page: str, port: int, verifier: str = "x" * 43) -> dict[str, str]:
    """What the page answers a command line that listens on ``port``."""
    form = {"idp": "corp", "challenge": hashed(verifier), "port": str(port)}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{page}/saml/begin", urlencode(form).encode(), timeout=SECONDS) as found:
        return dict(json.loads(found.read()))


def answered(page: str, url: str) -> str:
    """The page that a browser gets when it brings what the provider answers."""
    request = asked(url).get("ID")
    inside = forge.assertion(answered=request, recipient=f"{page}/saml/corp/acs")
    document = idp().sign(forge.response(inside, more=f' Destination="{page}/saml/corp/acs" InResponseTo="{request}"'))
    form = {
        "SAMLResponse": base64.b64encode(document.encode()).decode(),
        "RelayState": parse_qs(urlsplit(url).query)["RelayState"][0],
    }
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{page}/saml/corp/acs", urlencode(form).encode(), timeout=SECONDS) as found:
        return str(found.read().decode())


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> queue.Queue[str]:
    """Addresses that a browser is opened at."""
    opened: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr("cli.login.webbrowser.open", opened.put)
    return opened


def test_the_browser_brings_the_code_and_the_token_is_all_that_is_printed(page: str, browser: queue.Queue[str]) -> None:
    def visit() -> None:
        found = answered(page, browser.get(timeout=SECONDS))
        back = re.search(r'href="(http://127\.0\.0\.1:[^"]+)"', found)
        assert back is not None
        address = back[1].replace("&amp;", "&")
        strangers.append(get(address.replace("id=", "id=x"))[0])
        strangers.append(get(address, host="evil.example")[0])
        strangers.append(get(address.partition("?")[0] + "favicon.ico")[0])
        strangers.append(get(address)[0])

    strangers: list[int] = []
    person = threading.Thread(target=visit)
    person.start()
    result = CliRunner().invoke(command, ["--saml", "corp", "--page", page])
    person.join(SECONDS)
    assert result.exit_code == 0, result.output
    assert strangers == [404, 403, 404, 200]
    assert result.stdout.count("\n") == 1 and result.stderr.startswith("sign in here: https://idp.example/sso?")
    who = verify(Secret(result.stdout.strip()), rules_of("corp", 600.0), key_set(KEY.public), NOW)
    assert (who.agent, who.subject) == ("reporter", "ada@corp.example")


def test_a_code_is_pasted_where_the_browser_is_elsewhere(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    def echo(text: str, **_: object) -> None:
        shown.append(text)

    def prompt(*_: object, **__: object) -> str:
        found = answered(page, shown[0].removeprefix("sign in here: "))
        (code,) = re.findall(r"<pre>([^<]+)</pre>", found)
        return f" {code} "

    monkeypatch.setattr("cli.login.click.echo", echo)
    monkeypatch.setattr("cli.login.click.prompt", prompt)
    printed: list[dict[str, object]] = []
    monkeypatch.setattr("cli.login.place.echo_json", printed.append)
    result = CliRunner().invoke(command, ["--saml", "corp", "--page", page, "--paste", "--format", "json"])
    assert result.exit_code == 0, result.exception
    assert printed[0]["expires_at"] == NOW + 600 and json.dumps(printed)


def test_refusals_are_told_in_the_pages_words(page: str) -> None:
    result = CliRunner().invoke(command, ["--saml", "other", "--page", page])
    assert isinstance(result.exception, TokenFault) and "known here: corp" in str(result.exception)


@pytest.mark.parametrize("answer", [Response(404, b"<html>"), Response(200, b"{}", "application/json")])
def test_a_page_without_saml_says_so(answer: Response) -> None:
    server = PageServer("127.0.0.1", 0)

    def prepare() -> tuple[Callable[[Request], object], Callable[[], None]]:
        async def nothing(request: Request) -> Response:
            return answer

        return nothing, lambda: None

    server.start(prepare)
    try:
        result = CliRunner().invoke(command, ["--saml", "corp", "--page", server.origin])
        assert "is identity.saml configured" in str(result.exception)
    finally:
        server.stop()


def test_without_a_gateway_it_says_where_to_look(tmp_path) -> None:
    result = CliRunner().invoke(command, ["--saml", "corp", "--state", str(tmp_path)])
    assert "blastwall up" in str(result.exception) and "BLASTWALL_PAGE" in str(result.exception)


def test_who_does_not_come_back_is_not_waited_for_forever() -> None:
    with Listener() as listener, pytest.raises(TokenFault, match="in time"):
        listener.wait("id", 0.0)
