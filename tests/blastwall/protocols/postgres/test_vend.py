"""The texts that make and end a session's role: what they may name, and that nothing gets out of its quotes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blastwall.conversation import RoleOrder
from blastwall.errors import UpstreamFault
from blastwall.protocols.postgres import vend
from blastwall.protocols.postgres.scram import verifier

ORDER = RoleOrder("bw_s_abc", "shop_agent", 1_900_000_000.5, 8, "blastwall session s-abc", {"work_mem": "8MB"})
STORED = verifier("pw", b"salt" * 4, 4096)


def test_the_whole_role_is_one_text() -> None:
    text = vend.create(ORDER, STORED)
    assert text.startswith("SET LOCAL createrole_self_grant = 'set, inherit';\nCREATE ROLE \"bw_s_abc\" LOGIN INHERIT ")
    for words in (
        "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS",
        f"PASSWORD '{STORED}'",
        "VALID UNTIL '2030-03-17 17:46:40+00'",
        "CONNECTION LIMIT 8",
        'IN ROLE "shop_agent";',
        "ALTER ROLE \"bw_s_abc\" SET role = 'shop_agent';",
        "ALTER ROLE \"bw_s_abc\" SET work_mem = '8MB';",
        "COMMENT ON ROLE \"bw_s_abc\" IS 'blastwall session s-abc'",
    ):
        assert words in text


def test_a_login_by_iam_has_no_password_and_one_more_membership() -> None:
    text = vend.create(replace(ORDER, memberships=("rds_iam",)), None)
    assert "PASSWORD NULL" in text and 'IN ROLE "shop_agent", "rds_iam";' in text


def test_quotes_in_what_it_is_given_stay_inside() -> None:
    hostile = """x'; DROP ROLE "a"; --"""
    order = replace(ORDER, profile=hostile, comment=hostile, settings={"work_mem": hostile})
    text = vend.create(order, None)
    assert '''"x'; DROP ROLE ""a""; --"''' in text
    assert text.count("""'x''; DROP ROLE "a"; --'""") == 3


@pytest.mark.parametrize("name", ["postgres", "bw_", "bw_A", 'bw_a"', "BW_a", "bw_a b", "bw_" + "a" * 61, ""])
def test_no_other_role_is_ever_touched(name: str) -> None:
    for make in (vend.disable, vend.drop, vend.find, lambda name: vend.hand_on(name, "x")):
        with pytest.raises(ValueError, match="not the name of a session's role"):
            make(name)
    with pytest.raises(ValueError):
        vend.create(replace(ORDER, name=name), None)


@pytest.mark.parametrize("name", ["role", "session_authorization", "Work_mem", "a b", "a=b", "", "a.b.c", "x; y"])
def test_settings_that_would_undo_the_role_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a setting"):
        vend.create(replace(ORDER, settings={name: "1"}), None)


@pytest.mark.parametrize("text", ["a\0b"])
def test_nul_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="NUL"):
        vend.literal(text)
    with pytest.raises(ValueError, match="name"):
        vend.identifier(text)


@pytest.mark.parametrize("version", ["15.18 (Debian 15.18-0+deb12u1)", "9.6.24", "", "devel"])
def test_old_servers_are_refused_with_the_reason(version: str) -> None:
    with pytest.raises(UpstreamFault, match="CREATEROLE reaches the server's machine") as refused:
        vend.judge_version(version)
    assert "static" in str(refused.value)


@pytest.mark.parametrize("version", ["16.0", "17.10", "18.6 (Debian 18.6-1)", "19beta1"])
def test_newer_servers_are_not(version: str) -> None:
    vend.judge_version(version)


def test_only_the_connections_that_were_seen_are_ended() -> None:
    text = vend.terminate(16400, [(7, "2026-01-01 00:00:00+00"), (8, "")])
    assert "(VALUES (7, '2026-01-01 00:00:00+00'), (8, ''))" in text and "usesysid OPERATOR(pg_catalog.=) 16400" in text


def test_an_operator_is_told_what_to_grant() -> None:
    assert 'GRANT "shop_agent" TO "blastwall_admin" WITH ADMIN TRUE' in vend.advice("42501", ORDER, "blastwall_admin")
    assert 'CREATE ROLE "shop_agent" NOLOGIN' in vend.advice("42704", ORDER, "blastwall_admin")
    assert vend.advice("XX000", ORDER, "blastwall_admin") == ""
