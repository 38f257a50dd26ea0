from __future__ import annotations

import subprocess
import sys

import pytest

from blastwall import registry
from blastwall.conversation import ProtocolSpec


def test_protocols_are_the_folders() -> None:
    assert "postgres" in registry.names()
    assert registry.names() == tuple(sorted(registry.names()))


def test_a_folder_gives_its_spec() -> None:
    spec = registry.protocol("postgres")
    assert isinstance(spec, ProtocolSpec)
    assert spec.manifest.name == "postgres"
    assert spec.options is registry.options("postgres")


@pytest.mark.parametrize("name", ["oracle", "", "postgres.options", "../policy", "__pycache__"])
@pytest.mark.parametrize("look_up", [registry.protocol, registry.options, registry.read_catalogue])
def test_an_unknown_protocol_is_answered_with_the_known_ones(look_up: object, name: str) -> None:
    with pytest.raises(LookupError, match=r"unknown protocol .*; known are .*postgres"):
        look_up(name)  # type: ignore[operator]  # one of the functions above


def test_a_catalogue_is_read_by_the_folders_own_reader() -> None:
    from blastwall.protocols.postgres.live import read_catalogue

    assert registry.read_catalogue("postgres") is read_catalogue


def test_checking_options_loads_no_engine() -> None:
    """What checks a configuration in a pipeline must not need the parser or the wire."""
    program = (
        "import sys; from blastwall import registry; registry.options('postgres'); "
        "print([name for name in sys.modules if name.startswith(('postgast', 'blastwall.sql.', 'blastwall.wire.'))])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_a_protocol_says_which_options_of_its_listener_are_keys_and_who_must_trust_them() -> None:
    assert registry.protocol("ssh").manifest.keys == {
        "host_key": "BLASTWALL_SSH_HOST_KEY",
        "user_ca": "BLASTWALL_SSH_USER_CA",
        "upstream_ca": "BLASTWALL_SSH_UPSTREAM_CA",
    }
    model = registry.listener_options("ssh")
    assert model is not None and set(registry.protocol("ssh").manifest.keys) <= set(model.model_fields)
    assert registry.protocol("postgres").manifest.keys == {}
    assert registry.trust("ssh") is not None and registry.trust("postgres") is None
    with pytest.raises(LookupError, match="known are"):
        registry.trust("telnet")
