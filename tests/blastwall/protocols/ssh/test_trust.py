"""The lines that others trust the gateway by, read back by the library that would."""

from __future__ import annotations

from pathlib import Path

import asyncssh
import pytest

from blastwall.errors import ConfigFault
from blastwall.protocols.ssh.options import Gateway
from blastwall.protocols.ssh.trust import trust


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, asyncssh.SSHKey]:
    made = {name: asyncssh.generate_private_key("ssh-ed25519", name) for name in ("host", "users", "hosts", "names")}
    for name, key in made.items():
        (tmp_path / f"{name}.pub").write_bytes(key.export_public_key("openssh"))
    return made


def test_a_host_key_is_known_by_itself(tmp_path: Path, keys: dict[str, asyncssh.SSHKey]) -> None:
    options = Gateway(host_key=tmp_path / "host", user_ca=tmp_path / "users", upstream_ca=tmp_path / "hosts")
    lines = trust(options, "nlb.example.com", 22)
    found, *_ = asyncssh.import_known_hosts(lines["known_hosts"] + "\n").match("nlb.example.com", "", 22)
    assert found == [keys["host"].convert_to_public()]
    assert asyncssh.import_public_key(lines["trusted_user_ca_keys"]) == keys["hosts"].convert_to_public()
    assert "users" not in str(lines), "no host may trust what clients are signed with"
    moved = trust(options, "nlb.example.com", 2222)["known_hosts"]
    assert moved.startswith("[nlb.example.com]:2222 ")
    assert asyncssh.import_known_hosts(moved + "\n").match("nlb.example.com", "", 2222)[0]


def test_a_signed_host_key_is_known_by_its_authority(tmp_path: Path, keys: dict[str, asyncssh.SSHKey]) -> None:
    signed = keys["names"].generate_host_certificate(keys["host"], "gateway", principals=["a.example.com", "b"])
    (tmp_path / "host-cert.pub").write_bytes(signed.export_certificate("openssh"))
    options = Gateway(
        host_key=tmp_path / "host", host_certificate=tmp_path / "host-cert.pub", user_ca=tmp_path / "users"
    )
    lines = trust(options, "nlb.example.com", 22)
    known = asyncssh.import_known_hosts(lines["known_hosts"] + "\n")
    for name, expected in (("a.example.com", 1), ("b", 1), ("nlb.example.com", 0)):
        keys_known, authorities, *_ = known.match(name, "", 22)
        assert (len(keys_known), len(authorities)) == (0, expected), name
    assert known.match("b", "", 22)[1] == [keys["names"].convert_to_public()]
    assert "trusted_user_ca_keys" not in lines


def test_what_is_missing_or_no_key_is_named(tmp_path: Path, keys: dict[str, asyncssh.SSHKey]) -> None:
    with pytest.raises(ConfigFault, match=r"absent\.pub.*ssh-keygen -y -f absent > absent\.pub"):
        trust(Gateway(host_key=tmp_path / "absent", user_ca=tmp_path / "users"), "nlb", 22)
    (tmp_path / "bad.pub").write_text("ssh-ed25519 nonsense")
    with pytest.raises(ConfigFault, match="no public key"):
        trust(Gateway(host_key=tmp_path / "bad", user_ca=tmp_path / "users"), "nlb", 22)
    plain = Gateway(host_key=tmp_path / "host", host_certificate=tmp_path / "host.pub", user_ca=tmp_path / "users")
    with pytest.raises(ConfigFault, match="this is no certificate"):
        trust(plain, "nlb", 22)
