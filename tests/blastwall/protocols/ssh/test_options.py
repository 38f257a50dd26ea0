from __future__ import annotations

import pytest
from pydantic import ValidationError

from blastwall.protocols.ssh.options import Gateway, Options


def test_what_is_left_out() -> None:
    options = Options()
    assert options.host_keys == ()
    assert options.readable == ("/", "~")
    assert options.destinations == ()


@pytest.mark.parametrize(
    "values",
    [
        {"host_keys": ["web ssh-ed25519 AAAA"]},
        {"host_keys": ["-----BEGIN OPENSSH PRIVATE KEY-----"]},
        {"readable": ["relative"]},
        {"users": ["Root User"]},
        {"destinations": ["nowhere"]},
        {"shell_minutes": 0.0},
        {"most_channels": 0},
        {"unknown": 1},
    ],
)
def test_what_is_wrong_is_said(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate(values)


def test_the_listener_needs_its_keys() -> None:
    with pytest.raises(ValidationError, match="user_ca"):
        Gateway.model_validate({"host_key": "a"})
