"""The doctor's checks on places that are really broken."""

from __future__ import annotations

import os
import shutil
import socket
import time
from pathlib import Path

import pytest

from blastwall.config.model import Identity
from blastwall.findings import Finding, Verdict
from cli import checks
from cli.checks import Place
from rig import running
from rig.certificates import Certificates, ensure_certificates
from rig.postgres import EmbeddedPostgres
from rig.running import Running
from tests.blastwall.identity.saml_forge import NOW, idp
from tests.cli.test_reach import saying

CONFIG = Path(__file__).parents[2] / "config"
DAY = 86400.0


@pytest.fixture
def place(tmp_path: Path) -> Place:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    return Place(CONFIG, state, time.time())


def only(findings: object) -> Finding:
    (finding,) = list(findings)  # type: ignore[call-overload]  # an iterator of findings
    return finding


def verdicts(place: Place) -> dict[str, Verdict]:
    return {finding.check: finding.verdict for finding in checks.examine(place)}


def test_every_problem_comes_with_advice(tmp_path: Path) -> None:
    findings = checks.examine(Place(tmp_path / "nowhere", tmp_path / "nothing", 0.0))
    assert {finding.verdict for finding in findings} == {Verdict.OK, Verdict.WARN, Verdict.FAIL}
    for finding in findings:
        assert bool(finding.advice) == (finding.verdict is not Verdict.OK), finding


def test_a_configuration_that_does_not_load_is_told_problem_by_problem(place: Place, tmp_path: Path) -> None:
    broken = tmp_path / "config"
    shutil.copytree(CONFIG, broken)
    gateway = broken / "gateway.yaml"
    gateway.write_text(gateway.read_text().replace("protocol: postgres", "protocol: postgrse\n    speling: 1"))
    found = list(checks.configuration(Place(broken, place.state, place.now)))
    assert len(found) >= 2
    assert all(finding.verdict is Verdict.FAIL and "gateway.yaml:" in finding.found for finding in found)


@pytest.mark.parametrize(
    ("days", "verdict"), [(0, Verdict.OK), (340, Verdict.WARN), (364, Verdict.WARN), (366, Verdict.FAIL)]
)
def test_a_saml_certificate_near_its_end_is_found(place: Place, tmp_path: Path, days: int, verdict: Verdict) -> None:
    config = tmp_path / "config"
    shutil.copytree(CONFIG, config)
    pem = idp().pem.decode().replace("\n", "")  # good for a year from the forge's time
    corp = f"{{entity_id: e, sso_url: 'https://idp.example/sso', certificates: ['{pem}']}}"
    gateway = config / "gateway.yaml"
    gateway.write_text(gateway.read_text().replace("  issuers:", f"  saml: {{corp: {corp}}}\n  issuers:", 1))
    found = {one.check: one for one in checks.configuration(Place(config, place.state, NOW + days * DAY))}
    assert found["saml corp"].verdict is verdict
    assert "saml" not in found


def test_missing_libraries_of_saml_are_found(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "SAML", ("lxml", "no_such_library"))
    identity = Identity.model_validate(
        {
            "issuers": [{"issuer": "https://idp.example", "audience": "blastwall"}],
            "saml": {"corp": {"entity_id": "e", "sso_url": "https://x.example", "certificates": [idp().pem.decode()]}},
        }
    )
    found = next(iter(checks._saml(place, identity)))
    assert found.verdict is Verdict.FAIL and "blastwall[saml]" in found.advice


def test_a_taken_port_is_found(place: Place, tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(CONFIG, config)
    gateway = config / "gateway.yaml"
    (tmp_path / "demo").mkdir()
    shutil.copy(CONFIG.parent / "demo" / "seed.sql", tmp_path / "demo" / "seed.sql")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        gateway.write_text(gateway.read_text().replace("127.0.0.1:7432", f"127.0.0.1:{port}"))
        there = Place(config, place.state, place.now)
        assert {f.check: f.verdict for f in checks.configuration(there)}["port for postgres"] is Verdict.FAIL
        ours = Running(os.getpid(), str(config), {"postgres": f"127.0.0.1:{port}"}, "/ca.pem", {})
        running.write(place.state, ours)
        assert {f.check: f.verdict for f in checks.configuration(there)}["port for postgres"] is Verdict.OK
    running.remove(place.state)
    assert {f.check: f.verdict for f in checks.configuration(there)}["port for postgres"] is Verdict.OK


@pytest.mark.parametrize(
    "name", ["blastwall.db", "issuer/es256.key", "targets/shop/superuser.password", "recordings/x.bwr"]
)
def test_a_secret_that_others_may_read_is_found(place: Place, name: str) -> None:
    file = place.state / name
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.write_text("secret")
    file.chmod(0o600)
    assert only(checks.state(place)).verdict is Verdict.OK
    file.chmod(0o640)
    finding = only(checks.state(place))
    assert finding.verdict is Verdict.FAIL
    assert str(file) in finding.found


def test_an_open_state_directory_is_found(place: Place) -> None:
    place.state.chmod(0o755)
    assert only(checks.state(place)).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("days", "verdict"), [(0, Verdict.OK), (60, Verdict.OK), (80, Verdict.WARN), (91, Verdict.FAIL)]
)
def test_a_certificate_near_its_end_is_found(place: Place, days: int, verdict: Verdict) -> None:
    ensure_certificates(place.state / "tls", place.now)
    assert only(checks.certificates(Place(CONFIG, place.state, place.now + days * DAY))).verdict is verdict


def test_a_damaged_certificate_is_found(place: Place) -> None:
    (place.state / "tls").mkdir()
    (place.state / "tls" / "server.pem").write_text("nonsense")
    assert only(checks.certificates(place)).verdict is Verdict.FAIL


@pytest.mark.parametrize(("shift", "verdict"), [(0, Verdict.OK), (-3600, Verdict.FAIL), (-1.5e9, Verdict.FAIL)])
def test_a_wrong_clock_is_found(place: Place, shift: float, verdict: Verdict) -> None:
    assert only(checks.clock(Place(CONFIG, place.state, time.time() + shift))).verdict is verdict


def test_recordings_that_cannot_be_written_are_found(place: Place) -> None:
    assert only(checks.recordings(place)).verdict is Verdict.OK
    (place.state / "recordings").write_text("a file where the directory should be")
    assert only(checks.recordings(place)).verdict is Verdict.FAIL


def test_a_full_disk_is_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LEAST_FREE", 2**70)
    assert only(checks.recordings(place)).verdict is Verdict.WARN


def announce(place: Place, port: int, ca: Path) -> None:
    running.write(place.state, Running(os.getpid(), "", {"postgres": f"127.0.0.1:{port}"}, str(ca), {}))


def test_a_gateway_is_greeted_as_a_client_would(
    place: Place, postgres17: EmbeddedPostgres, certificates: Certificates, tmp_path: Path
) -> None:
    """Any server that answers PostgreSQL's question about TLS will do here."""
    assert only(checks.gateway(place)).verdict is Verdict.WARN
    announce(place, postgres17.port, certificates.ca)
    assert only(checks.gateway(place)).verdict is Verdict.OK
    other = ensure_certificates(tmp_path / "other", time.time())
    announce(place, postgres17.port, other.ca)
    finding = only(checks.gateway(place))
    assert finding.verdict is Verdict.FAIL
    assert "CERTIFICATE_VERIFY_FAILED" in finding.found


def test_a_gateway_for_ssh_is_greeted_as_one(place: Place, certificates: Certificates) -> None:
    with saying(b"SSH-2.0-gateway\r\n") as port:
        running.write(place.state, Running(os.getpid(), "", {"ssh": f"127.0.0.1:{port}"}, str(certificates.ca), {}))
        assert only(checks.gateway(place)).verdict is Verdict.OK


def test_another_configuration_than_the_running_gateways_is_said(place: Place, tmp_path: Path) -> None:
    running.write(place.state, Running(os.getpid(), str(CONFIG), {}, "", {}))
    assert [
        one.found for one in checks.configuration(place) if one.verdict is not Verdict.OK and "uses" in one.found
    ] == []
    running.write(place.state, Running(os.getpid(), str(tmp_path), {}, "", {}))
    (finding,) = [one for one in checks.configuration(place) if one.verdict is Verdict.WARN]
    assert f"--config {tmp_path}" in finding.advice


def test_a_gateway_without_tls_or_without_a_listener_is_found(
    place: Place, postgres18: EmbeddedPostgres, certificates: Certificates
) -> None:
    announce(place, postgres18.port, certificates.ca)
    assert "no TLS" in only(checks.gateway(place)).found
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        announce(place, closed.getsockname()[1], certificates.ca)
        finding = only(checks.gateway(place))
    assert finding.verdict is Verdict.FAIL
    assert "refused" in finding.found
