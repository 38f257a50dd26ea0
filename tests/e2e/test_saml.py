"""People of a real SAML identity provider (nanoidp) sign in with a browser, and their clients get through the gateway."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin

import psycopg
import pytest

from rig import running
from tests.e2e.stacks import ROOT, Stack, on_the_database_of

SECONDS = 30.0


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.button = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = named.get("action", "")
        elif tag == "input" and named.get("name"):
            self.fields[named["name"]] = named.get("value", "")
        elif tag == "a" and named.get("class") == "button":
            self.button = named["href"]


@dataclass
class Page:
    address: str
    status: int
    text: str

    @property
    def forms(self) -> _Forms:
        found = _Forms()
        found.feed(self.text)
        return found


@dataclass
class Visitor:
    """A browser without a window: cookies, redirects, forms, and the button that leads to the command line."""

    cookies: CookieJar = field(default_factory=CookieJar)

    def open(self, address: str, form: dict[str, str] | None = None) -> Page:
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.cookies)
        )
        body = urlencode(form).encode() if form is not None else None
        try:
            with opener.open(address, body, timeout=SECONDS) as answer:
                return Page(answer.url, answer.status, answer.read().decode())
        except HTTPError as refusal:
            with refusal:
                return Page(address, refusal.code, refusal.read().decode())

    def sign_in(self, address: str, name: str, password: str) -> tuple[str, dict[str, str]]:
        """Where the provider has the browser post its answer, and the answer."""
        asked = self.open(address)
        given = asked.forms.fields | {"username": name, "password": password}
        answered = self.open(urljoin(asked.address, asked.forms.action or asked.address.partition("?")[0]), given)
        assert answered.status == 200 and "SAMLResponse" in answered.forms.fields, answered.text
        return answered.forms.action, answered.forms.fields


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The provider's address."""
    folder = tmp_path_factory.mktemp("idp") / "config"
    log = (folder.parent / "log").open("w")
    script = Path(__file__).with_name("clients") / "idp.py"
    process = subprocess.Popen(
        [sys.executable, str(script), str(folder)], stdout=subprocess.PIPE, stderr=log, text=True
    )
    try:
        assert process.stdout is not None
        port = next((line.strip() for line in process.stdout if line.strip().isdecimal()), "")
        assert port, (folder.parent / "log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()
        log.close()


@pytest.fixture(scope="module")
def federated(start: Any, shop: Stack, provider: str) -> Stack:
    """A gateway in front of the shop's own database, for people of the provider."""
    certificate = Visitor().open(f"{provider}/saml/cert.pem").text

    def federate(document: dict[str, Any]) -> None:
        document["targets"] = {"federated": on_the_database_of(shop, document)}
        document["identity"]["saml"] = {
            "corp": {
                "entity_id": "https://idp.test/saml",
                "sso_url": f"{provider}/saml/sso",
                "certificates": [certificate],
                "signed": "assertion",
                "max_lifetime_minutes": 10.0,
            }
        }

    stack: Stack = start("federated", ROOT / "config", "federated", federate, masked=False)
    return stack


@dataclass
class Login:
    """``blastwall login`` under way."""

    process: subprocess.Popen[str]
    address: str

    def token(self) -> str:
        out, err = self.process.communicate(timeout=SECONDS)
        assert self.process.returncode == 0, err
        return out.strip()


@pytest.fixture
def logins(federated: Stack) -> Iterator[Any]:
    begun: list[subprocess.Popen[str]] = []

    def begin(*more: str) -> Login:
        words = ["login", "--saml", "corp", "--no-open", *more, "--state", str(federated.state)]
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        begun.append(process)
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("sign in here: "), line
        return Login(process, line.removeprefix("sign in here: ").strip())

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def test_who_signs_in_opens_the_database_as_themselves(federated: Stack, logins: Any) -> None:
    login = logins()
    visitor = Visitor()
    place, answer = visitor.sign_in(login.address, "ada", "lovelace")
    page = visitor.open(place, answer)
    assert page.status == 200 and "ada@corp.example" in page.text
    back = visitor.open(page.forms.button)
    assert back.status == 200 and "signed in" in back.text
    token = login.token()
    with federated.connect(token, autocommit=True) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        session = federated.session("ada@corp.example")
    who = session["principal"]
    assert (who["issuer"], who["subject"]) == ("urn:blastwall:saml:corp", "ada@corp.example")
    assert set(who["groups"]) == {"agents", "analysts"} and who["on_behalf_of"] == "ada@corp.example"
    assert who["expires_at"] - who["issued_at"] <= 600

    spent = visitor.open(place, answer)
    assert spent.status == 403 and "no sign-in that is under way" in spent.text


def test_policy_decides_for_them_as_for_everybody(federated: Stack, logins: Any) -> None:
    login = logins("--paste")
    visitor = Visitor()
    place, answer = visitor.sign_in(login.address, "eve", "evening")
    (code,) = re.findall(r"<pre>([^<]+)</pre>", visitor.open(place, answer).text)
    out, err = login.process.communicate(f"{code}\n", timeout=SECONDS)
    assert login.process.returncode == 0, err
    with pytest.raises(psycopg.OperationalError, match=r"denied|not permitted|refused|policy"):
        federated.connect(out.strip())


def test_a_changed_answer_opens_nothing(logins: Any) -> None:
    login = logins()
    visitor = Visitor()
    place, answer = visitor.sign_in(login.address, "eve", "evening")
    genuine = base64.b64decode(answer["SAMLResponse"])
    for old, new in (
        (b"visitors", b"agents"),
        (b"eve@corp.example", b"ada@corp.example"),
        (b"</saml", b"<!----></saml"),
    ):
        forged = genuine.replace(old, new) if old in genuine else genuine.replace(b"</", b"<!----></", 1)
        assert forged != genuine
        page = visitor.open(place, answer | {"SAMLResponse": base64.b64encode(forged).decode()})
        assert page.status == 403 and "Not signed in" in page.text
    assert login.process.poll() is None


def test_the_answer_to_one_command_line_is_none_to_another(federated: Stack, logins: Any) -> None:
    mine, yours = logins(), logins()
    visitor = Visitor()
    place, answer = visitor.sign_in(yours.address, "ada", "lovelace")
    found = running.read(federated.state)
    assert found is not None and place.startswith(found.page)
    state = re.search(r"RelayState=([^&]+)", mine.address)
    assert state is not None
    page = visitor.open(place, answer | {"RelayState": state[1]})
    assert page.status == 403 and "InResponseTo" in page.text


def test_a_provider_that_is_not_configured_is_named(federated: Stack) -> None:
    words = ["login", "--saml", "elsewhere", "--no-open"]
    assert "known here: corp" in federated.blastwall(*words, code=4)


def test_the_token_says_who_made_it(logins: Any) -> None:
    login = logins("--format", "json")
    visitor = Visitor()
    page = visitor.open(*visitor.sign_in(login.address, "ada", "lovelace"))
    visitor.open(page.forms.button)
    found = json.loads(login.token())
    header = json.loads(base64.urlsafe_b64decode(found["token"].split(".")[0] + "=="))
    assert header["typ"] == "gateway+jwt"
