from __future__ import annotations

import time
from pathlib import Path

import asyncssh
import pytest

from blastwall.errors import ClientFault, ConfigFault
from blastwall.model import Principal, Secret
from blastwall.protocols.ssh import keys
from blastwall.protocols.ssh.options import Gateway

NOW = time.time()
AGENT = Principal("https://issuer.example", "a", "reporter", expires_at=NOW + 600)


@pytest.fixture
def own(tmp_path: Path) -> keys.Keys:
    for name in ("host", "user_ca", "upstream_ca"):
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(tmp_path / name))
    options = {"host_key": "host", "user_ca": "user_ca", "upstream_ca": "upstream_ca"}
    return keys.load(Gateway.model_validate({name: tmp_path / file for name, file in options.items()}))


def public() -> str:
    return asyncssh.generate_private_key("ssh-ed25519").export_public_key("openssh").decode()


def test_a_certificate_holds_the_token_for_us_alone(own: keys.Keys) -> None:
    line = keys.issue(own, public(), Secret("the.agents.token"), AGENT, NOW)
    assert "the.agents.token" not in line
    certificate = asyncssh.import_certificate(line)
    assert keys.opened(own, certificate._key_id).reveal() == "the.agents.token"
    assert certificate._valid_before == int(NOW + 600)


def test_it_ends_with_the_token_and_within_half_a_day(own: keys.Keys) -> None:
    lasting = Principal("https://issuer.example", "a", "reporter", expires_at=NOW + 90 * 86400)
    certificate = asyncssh.import_certificate(keys.issue(own, public(), Secret("t"), lasting, NOW))
    assert certificate._valid_before == int(NOW + keys.CERTIFICATE_SECONDS)


@pytest.mark.parametrize("line", ["", "ssh-ed25519", "ssh-ed25519 AAAA", "x" * 10, "a\n" * 3000, "é"])
def test_what_is_no_public_key(own: keys.Keys, line: str) -> None:
    with pytest.raises(ClientFault, match="public key"):
        keys.issue(own, line, Secret("t"), AGENT, NOW)


def test_hosts_get_a_fresh_key_for_minutes_that_names_the_session(own: keys.Keys) -> None:
    key, certificate = keys.host_credential(own, "deploy", "s-1", NOW)
    again, _ = keys.host_credential(own, "deploy", "s-1", NOW)
    assert key.public_data != again.public_data
    assert certificate.principals == ["deploy"]
    assert certificate._key_id == "blastwall s-1"
    assert certificate._valid_before <= NOW + keys.HOST_SECONDS


def test_problems_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "user_ca").write_text("not a key")
    options = Gateway(host_key=tmp_path / "missing", user_ca=tmp_path / "user_ca")
    with pytest.raises(ConfigFault) as fault:
        keys.load(options)
    assert len(fault.value.problems) == 2


def test_keys_do_not_show_themselves(own: keys.Keys) -> None:
    assert repr(own) == "Keys(***)"
