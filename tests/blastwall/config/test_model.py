from __future__ import annotations

import pytest
from pydantic import ValidationError

from blastwall.config.credentials import StaticCredential
from blastwall.config.model import Address, Issuer, TargetSection

TARGET = {"protocol": "postgres", "host": "db", "port": 5432, "credential": {"kind": "static", "user": "u"}}


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [("127.0.0.1:7432", "127.0.0.1", 7432), ("[::1]:0", "::1", 0), ("db.example:65535", "db.example", 65535)],
)
def test_addresses(written: str, host: str, port: int) -> None:
    address = Address.model_validate(written)
    assert (address.host, address.port) == (host, port)


@pytest.mark.parametrize("written", ["7432", "db:", ":5432", "db:-1", "db:65536", "db:+1", "db:٣", "", 7432])
def test_what_is_no_address(written: object) -> None:
    with pytest.raises(ValidationError):
        Address.model_validate(written)


def test_one_credential_or_several() -> None:
    one = TargetSection.model_validate(TARGET)
    assert [credential.user for credential in one.credential] == ["u"]
    many = [{"kind": "static", "user": "a"}, {"kind": "static", "user": "b", "password_env": "B_PASSWORD"}]
    both = TargetSection.model_validate(TARGET | {"credential": many})
    assert [credential.user for credential in both.credential] == ["a", "b"]
    with pytest.raises(ValidationError):
        TargetSection.model_validate(TARGET | {"credential": []})


def test_a_password_is_kept_in_one_place() -> None:
    with pytest.raises(ValidationError, match="not both"):
        StaticCredential.model_validate({"kind": "static", "user": "u", "password_env": "A", "password_file": "b"})


@pytest.mark.parametrize(
    "change",
    [
        {"port": "5432"},
        {"port": 0},
        {"port": True},
        {"host": ""},
        {"mode": "watch"},
        {"hold_seconds": -1},
        {"hold_seconds": 4000},
        {"hold_seconds": "60"},
        {"labels": {"production": True}},
        {"budgets": {"rows": 0}},
        {"budgets": {"row": 1}},
        {"durability": "none"},
        {"protocol": "Postgres"},
        {"colour": "red"},
    ],
)
def test_nothing_is_guessed(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TargetSection.model_validate(TARGET | change)


def test_an_issuers_defaults_are_strict() -> None:
    rules = Issuer(issuer="https://idp.example", audience="blastwall").rules()
    assert rules.algorithms == {"ES256", "EdDSA"}
    assert rules.types == {"at+jwt", "JWT"}
    assert (rules.leeway, rules.max_lifetime) == (30.0, 12 * 3600.0)


@pytest.mark.parametrize("change", [{"clock_leeway_seconds": 31}, {"algorithms": []}, {"typ": []}, {"keys": {}}])
def test_an_issuer_cannot_be_loosened_beyond_its_bounds(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Issuer.model_validate({"issuer": "https://idp.example", "audience": "blastwall"} | change)
