"""The local page on the stack's own store, issuer and policies, over real HTTP (no gateway is needed for it)."""

from __future__ import annotations

import http.client
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from blastwall.config.bundle import load_bundle
from blastwall.errors import ConfigFault
from blastwall.model import ApprovalState
from rig.desk import LocalDesk
from rig.issuer import LocalIssuer
from tests.blastwall.identity.saml_forge import idp
from tests.cli.test_approvals import GATEWAY, POLICY, Rig

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[tuple[Rig, LocalDesk]]:
    rig = Rig(tmp_path)
    overrides = rig.state / "overrides.json"
    overrides.write_text(json.dumps({"approvals": {"page": {"listen": "127.0.0.1:0"}}}))
    section = load_bundle(rig.config, json.loads(overrides.read_text())).config.approvals
    desk = LocalDesk(rig.config, rig.state, overrides, LocalIssuer.open(rig.state), section)
    desk.start()
    yield rig, desk
    desk.stop()
    rig.issuer.stop()


class Person:
    """A browser without a screen."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, form: dict[str, str] | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(urlsplit(self.origin).netloc, timeout=10)
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if form is not None:
            headers |= FORM | {"Origin": self.origin}
        connection.request(method, path, urlencode(form) if form is not None else None, headers)
        answer = connection.getresponse()
        for name, value in answer.getheaders():
            if name == "Set-Cookie":
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.split(";")[0]
        return answer.status, answer.read().decode()

    def sign_in(self, link: str) -> None:
        path = link.removeprefix(self.origin)
        assert self.ask("GET", path)[0] == 200
        code = path.partition("code=")[2]
        assert self.ask("POST", "/sign-in", {"code": code, "next": "/"})[0] == 200


def test_a_link_signs_in_and_the_form_decides(rig: tuple[Rig, LocalDesk]) -> None:
    book, desk = rig
    request = book.ask()
    person = Person(desk.origin)
    person.sign_in(desk.link("olga", ("owners",)))
    status, html = person.ask("GET", "/requests/a-1")
    assert status == 200 and "DELETE FROM orders WHERE id = $1" in html
    form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', html.split("answer")[-1]))
    assert person.ask("POST", "/requests/a-1", form | {"decision": "approve"})[0] == 303
    assert book.state_of(request) is ApprovalState.APPROVED


def test_a_link_is_good_once_and_policy_is_asked_at_the_desk_too(rig: tuple[Rig, LocalDesk]) -> None:
    book, desk = rig
    request = book.ask()
    link = desk.link("ina", ("interns",))
    ina = Person(desk.origin)
    ina.sign_in(link)
    assert ina.ask("GET", "/requests/a-1")[0] == 404
    assert ina.ask("POST", "/sign-in", {"code": link.partition("code=")[2]})[0] == 401
    alice = Person(desk.origin)
    alice.sign_in(desk.link("alice", ("owners",)))
    status, html = alice.ask("GET", "/requests/a-1")
    assert status == 200 and "You cannot decide this" in html, "the agent works for her"
    assert book.state_of(request) is ApprovalState.REQUESTED


def test_changed_policies_count_and_broken_ones_change_nothing(rig: tuple[Rig, LocalDesk]) -> None:
    book, desk = rig
    book.ask()
    olga = Person(desk.origin)
    olga.sign_in(desk.link("olga", ("owners",)))
    policy = book.config / "policies" / "people.cedar"
    policy.write_text(POLICY.replace('Group::"owners"', 'Group::"nobody"'))
    desk._read_at = -1e9
    assert "You cannot decide this" in olga.ask("GET", "/requests/a-1")[1]
    policy.write_text("permit (oops")
    desk._read_at = -1e9
    assert "You cannot decide this" in olga.ask("GET", "/requests/a-1")[1]
    assert "targets" in GATEWAY


def saml_desk(rig: Rig, said: list[str]) -> LocalDesk:
    overrides = rig.state / "overrides.json"
    corp = {"entity_id": "e", "sso_url": "https://idp.example/sso", "certificates": [idp().pem.decode()]}
    page = {"approvals": {"page": {"listen": "127.0.0.1:0"}}, "identity": {"saml": {"corp": corp}}}
    overrides.write_text(json.dumps(page))
    section = load_bundle(rig.config, page).config.approvals
    return LocalDesk(rig.config, rig.state, overrides, LocalIssuer.open(rig.state), section, said.append)


def test_people_of_a_saml_provider_sign_in_beside_the_page(tmp_path: Path) -> None:
    said: list[str] = []
    rig = Rig(tmp_path)
    desk = saml_desk(rig, said)
    desk.start()
    try:
        assert any("blastwall login --saml corp" in line for line in said)
        person = Person(desk.origin)
        status, metadata = person.ask("GET", "/saml/corp/metadata")
        assert status == 200 and f'entityID="{desk.origin}/saml/corp"' in metadata
        begun = {"idp": "corp", "challenge": "x" * 43}
        assert person.ask("POST", "/saml/begin", begun)[0] == 200
        assert person.ask("GET", "/sign-in")[0] == 200
        assert (rig.state / "keys" / "tokens.key").is_file()
    finally:
        desk.stop()
        rig.issuer.stop()


def test_without_its_libraries_saml_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(tmp_path)
    desk = saml_desk(rig, [])
    monkeypatch.setitem(sys.modules, "blastwall.config.federation", None)
    try:
        with pytest.raises(ConfigFault, match=r"pip install 'blastwall\[saml\]'"):
            desk.start()
        with pytest.raises(OSError):
            Person(desk.origin).ask("GET", "/")  # nothing is left behind that would listen
    finally:
        rig.issuer.stop()
