"""The way of a sign-in through a real browser: from another site's form to the page, and on to the command line."""

from __future__ import annotations

import base64
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from blastwall.approvals.web import Request
from blastwall.identity.saml_door import Door, Federation, acs_of
from blastwall.local.page_server import PageServer
from blastwall.local.sign_ins import MemorySignIns
from blastwall.local.token_key import LocalTokenKey
from cli.login import Listener
from tests.blastwall.identity import saml_forge as forge
from tests.blastwall.identity.saml_forge import NOW, asked, idp, provider
from tests.cli.test_login import begin
from tests.e2e.browser import Browser, browser

SECONDS = 30.0


class _Provider(BaseHTTPRequestHandler):
    """Signs everybody in as ada, and has the browser post the answer by itself."""

    def do_GET(self) -> None:
        host = self.headers["Host"]
        request = asked(f"http://{host}{self.path}")
        place = request.get("AssertionConsumerServiceURL")
        more = f' Destination="{place}" InResponseTo="{request.get("ID")}"'
        document = idp().sign(forge.response(forge.assertion(answered=request.get("ID"), recipient=place), more=more))
        answer = base64.b64encode(document.encode()).decode()
        state = parse_qs(urlsplit(self.path).query)["RelayState"][0]
        body = (
            f'<body onload="document.forms[0].submit()"><form method="post" action="{escape(place)}">'
            f'<input name="SAMLResponse" value="{answer}"><input name="RelayState" value="{escape(state)}"></form>'
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def sso() -> Iterator[str]:
    """Another site than the page: localhost, not 127.0.0.1."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Provider)
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    yield f"http://localhost:{server.server_port}/sso"
    server.shutdown()
    server.server_close()
    thread.join(SECONDS)


@pytest.fixture
def origin(sso: str) -> Iterator[str]:
    server = PageServer("127.0.0.1", 0)
    corp = replace(provider(), acs=acs_of(server.origin, "corp"))
    key = LocalTokenKey(ec.generate_private_key(ec.SECP256R1()))

    def prepare() -> tuple[Callable[[Request], object], Callable[[], None]]:
        door = Door(
            {"corp": Federation(corp, sso, 600.0)}, MemorySignIns(), key, lambda: NOW, secrets.token_bytes, print
        )
        return door.handle, lambda: None

    server.start(prepare)
    yield server.origin
    server.stop()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as made:
        yield made


def test_the_browser_finds_its_way_to_the_command_line(origin: str, chromium: Browser) -> None:
    page = chromium.page()
    with Listener() as listener:
        begun = begin(origin, listener.port)
        page.open(begun["url"])
        page.wait("Continue if you have just started")
        page.click("a.button")
        assert len(listener.wait(begun["id"], SECONDS)) == 43
        page.wait("You are signed in. Go back to your terminal")


def test_without_a_port_the_code_is_on_the_page(origin: str, chromium: Browser) -> None:
    page = chromium.page()
    page.open(begin(origin, 0)["url"])
    said = page.wait("wants to act as you")
    assert "as ada@corp.example" in said
    assert len(page.run("document.querySelector('pre').innerText")) == 43
    assert page.run("location.pathname") == "/saml/corp/acs"
