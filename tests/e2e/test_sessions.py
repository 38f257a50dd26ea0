"""Who is let in, for how long, how much, and how it ends; reloads; break-glass."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psycopg
import pytest
from psycopg import errors

from blastwall.model import DenialCode
from blastwall.protocols.postgres.refusal import SQLSTATES
from tests.e2e.people import decide, requests
from tests.e2e.stacks import Stack

SLOW = "SELECT count(*) FROM orders AS a JOIN orders AS b ON a.id <> b.id JOIN orders AS c ON c.id <> b.id"


def refused(stack: Stack, token: str, **more: str) -> str:
    """What a connection that must fail is told."""
    with pytest.raises(psycopg.OperationalError) as failed:
        stack.connect(token, **more)
    assert token not in str(failed.value)
    return str(failed.value)


# the door


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"aud": "somebody-else"}, "audience"),
        ({"exp": 1_700_000_000, "iat": 1_699_999_000}, "expired"),
        ({"iss": "http://127.0.0.1:1"}, "issuer"),
        ({"iat": 4_000_000_000, "exp": 4_000_000_100}, "not valid yet"),
        ({"sub": None}, "sub"),
        ({"exp": None}, "exp"),
    ],
)
def test_a_token_that_does_not_verify_is_told_why(shop: Stack, claims: dict[str, object], said: str) -> None:
    told = refused(shop, shop.token("stranger", **claims))
    assert "FATAL:  blastwall: this token does not open a session here" in told
    assert said in told.lower(), told
    assert "HINT:  Get a fresh token" in told


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "x" * 5000])
def test_what_is_no_token_is_refused_without_repeating_it(shop: Stack, token: str) -> None:
    assert "does not open a session here" in refused(shop, token)


def test_an_approvers_token_opens_no_session(shop: Stack) -> None:
    assert "audience" in refused(shop, shop.token("olga", ("owners",), aud=shop.issuer.approver_audience))


def test_places_that_are_not_there(shop: Stack) -> None:
    assert 'there is no target "nowhere" here' in refused(shop, shop.token(), target="nowhere")
    told = refused(shop, shop.token(), dbname="postgres")
    assert 'database "postgres" is not open to agents at shop: use shop' in told
    assert "to be safe" not in told, "nothing failed"
    told = refused(shop, shop.token(), user="postgres@shop")
    assert "shop has no credential for that database user; leave it out" in told
    assert "to be safe" not in told


def test_an_agent_of_no_group_of_the_target_does_not_connect(shop: Stack) -> None:
    told = refused(shop, shop.token("outsider", ("visitors",)))
    assert "not permitted" in told
    (asked,) = shop.asked("outsider")
    assert asked["kind"] == "connect" and asked["verdict"] == "denied"


# sessions


def test_connections_of_one_token_share_a_session(shop: Stack) -> None:
    token = shop.token("shares")
    with shop.connect(token) as one, shop.connect(token) as two:
        one.execute("SELECT 1")
        two.execute("SELECT 1")
        row = shop.session("shares")
        assert len(row["connections"]) == 2
    ids = {item["header"]["session"] for item in shop.recorded("shares") if item["type"] == "opened"}
    assert ids == {row["id"]}
    with shop.connect(shop.token("shares")):
        assert len([row for row in shop.listed("sessions", "ls") if row["principal"]["agent"] == "shares"]) == 2


def test_a_killed_session_ends_at_once_and_its_token_opens_no_other(shop: Stack) -> None:
    token = shop.token("killed")
    with shop.connect(token, autocommit=True) as idle, shop.connect(token, autocommit=True) as busy:
        ended: list[tuple[float, str, str]] = []

        def work() -> None:
            try:
                busy.execute(SLOW)
            except psycopg.Error as failed:
                ended.append((time.monotonic(), failed.sqlstate or "", str(failed)))

        working = threading.Thread(target=work)
        working.start()
        deadline = time.monotonic() + 10
        while not shop.value("SELECT count(*) FROM pg_stat_activity WHERE query = %s AND state = 'active'", SLOW):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        shop.blastwall("sessions", "kill", shop.session("killed")["id"], "--reason", "enough")
        began = time.monotonic()
        working.join(10)
        assert ended and ended[0][0] - began < 2
        assert ended[0][1] == SQLSTATES[DenialCode.IDENTITY] and "enough" in ended[0][2]
        with pytest.raises(psycopg.OperationalError):
            idle.execute("SELECT 1")
    assert "this token's session was ended" in refused(shop, token)
    deadline = time.monotonic() + 5
    while shop.value("SELECT count(*) FROM pg_stat_activity WHERE query = %s AND state = 'active'", SLOW):
        assert time.monotonic() < deadline, "the database still runs what nobody waits for"
        time.sleep(0.05)


def test_a_locked_agent_stays_out_until_it_is_unlocked(shop: Stack) -> None:
    with shop.connect(shop.token("locked"), autocommit=True) as connection:
        shop.blastwall("sessions", "lock", "locked", "--reason", "holiday")
        with pytest.raises(psycopg.OperationalError, match="holiday"):
            for _ in range(40):
                connection.execute("SELECT 1")
                time.sleep(0.05)
    said = refused(shop, shop.token("locked"))
    assert "holiday" in said and "No other token helps" in said
    shop.blastwall("sessions", "unlock", "locked")
    with shop.connect(shop.token("locked")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_session_ends_with_its_token(shop: Stack) -> None:
    with shop.connect(shop.token("brief", ttl=2), autocommit=True) as connection:
        began = time.monotonic()
        with pytest.raises(psycopg.Error, match="the session's time is up") as ended:
            connection.execute(SLOW)
        assert time.monotonic() - began < 4
        assert (ended.value.sqlstate, ended.value.diag.severity) == (SQLSTATES[DenialCode.IDENTITY], "FATAL")
        assert "new token" in (ended.value.diag.message_hint or "")
        assert connection.closed
    (row,) = [row for row in shop.listed("sessions", "ls", "--all") if row["principal"]["agent"] == "brief"]
    assert row["reason"] == "the session's time is up"


def test_a_live_connection_notices_what_others_do_to_the_database(shop: Stack) -> None:
    """A function of the database's own that would now answer for PostgreSQL's (CVE-2018-1058)."""
    with shop.connect(autocommit=True) as connection:
        assert connection.execute("SELECT lower('ABC'::varchar)").fetchone() == ("abc",)
        assert connection.execute("SELECT lower(%s::varchar)", ("ABC",), prepare=True).fetchone() == ("abc",)
        shop.direct("CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE sql AS $$SELECT 'hijacked'$$")
        try:
            time.sleep(1.1)  # what the gateway knows may be a second old
            with pytest.raises(errors.InsufficientPrivilege, match="which the function public"):
                connection.execute("SELECT lower('ABC'::varchar)")
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute("SELECT lower(%s::varchar)", ("ABC",), prepare=True)
        finally:
            shop.direct("DROP FUNCTION public.lower(varchar)")
        time.sleep(1.1)
        assert connection.execute("SELECT lower('ABC'::varchar)").fetchone() == ("abc",)


# budgets


def test_a_budget_of_statements(variants: Stack) -> None:
    with variants.connect(variants.token("counts"), target="small", autocommit=True) as connection:
        answered = 0
        with pytest.raises(errors.ConfigurationLimitExceeded) as spent:
            for _ in range(30):
                connection.execute("SELECT 1")
                answered += 1
        assert 5 <= answered <= 12
        assert "budget-spent" in (spent.value.diag.message_primary or "")
        assert "new session" in (spent.value.diag.message_hint or "")
    with variants.connect(variants.token("counts"), target="small") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,), "another token has another session"


def test_a_budget_of_rows_counts_over_connections_and_stops_a_result_midway(variants: Stack) -> None:
    token = variants.token("rows")
    with variants.connect(token, target="small") as connection:
        assert len(connection.execute("SELECT id FROM orders LIMIT 60").fetchall()) == 60
    with variants.connect(token, target="small") as connection:
        with pytest.raises(psycopg.OperationalError, match="budget of 100 rows is used up"):
            connection.execute("SELECT id FROM orders")
        assert connection.closed
    with variants.connect(token, target="small") as connection:
        with pytest.raises(errors.ConfigurationLimitExceeded, match="budget-spent") as spent:
            connection.execute("SELECT 1")
        assert "larger budget" in (spent.value.diag.message_hint or "")
        connection.rollback()
        assert not connection.closed, "what comes too late is refused in words, and ends nothing"


def test_a_budget_of_rows_counts_what_copies_bring(variants: Stack) -> None:
    with (
        pytest.raises(psycopg.OperationalError, match="budget of 100 rows is used up"),
        variants.connect(variants.token("copies"), target="small") as connection,
        connection.cursor().copy("COPY (SELECT id FROM orders) TO STDOUT") as copy,
    ):
        for _ in copy:
            pass


def test_a_budget_of_bytes(variants: Stack) -> None:
    with (
        variants.connect(variants.token("bytes"), target="small") as connection,
        pytest.raises(psycopg.OperationalError, match="budget of 100000 bytes is used up"),
    ):
        connection.execute("SELECT repeat('x', 200000)")


# modes


def test_observe_mode_refuses_nothing_and_records_what_it_would_have_done(variants: Stack) -> None:
    with variants.connect(variants.token("observed"), target="watched") as connection:
        assert connection.execute("DELETE FROM carts WHERE id = 3").rowcount == 1
        assert connection.execute("TRUNCATE carts").statusmessage == "TRUNCATE TABLE"
        connection.rollback()
        connection.execute("SELECT 1")
    asked = {item["text"]: item for item in variants.asked("observed") if item["kind"] == "execute"}
    assert asked["TRUNCATE carts"]["verdict"] == "observed"
    assert "denied" in asked["TRUNCATE carts"]["why"] or "no-destruction" in str(asked["TRUNCATE carts"])
    assert asked["DELETE FROM carts WHERE id = 3"]["verdict"] == "observed"
    assert asked["SELECT 1"]["verdict"] == "permit"


def test_budgets_stop_nothing_in_observe_mode_nor_where_the_glass_is_broken(variants: Stack) -> None:
    """Policies let both pass beyond a budget, so a result is not cut off in the midst of it, either."""
    glass = "break-glass: a report for the court"
    for target, token, name in (
        ("watched-small", variants.token("overdrawn"), "psql"),
        ("small", variants.token("witness", ("agents", "break-glass")), glass),
    ):
        with variants.connect(token, target=target, application_name=name, autocommit=True) as connection:
            for _ in range(2):
                assert len(connection.execute("SELECT i FROM generate_series(1, 300) AS i").fetchall()) == 300
    asked = [item["verdict"] for item in variants.asked("overdrawn") if "generate_series" in item["text"]]
    assert asked[0] == "permit" and asked[-1] == "observed", "and what would have been is on record"


def test_breaking_the_glass_is_for_its_group_needs_a_reason_and_is_loud(shop: Stack) -> None:
    glass = "break-glass: orders are stuck"
    with shop.connect(shop.token("fireman", ("break-glass",)), application_name=glass) as connection:
        assert connection.execute("DELETE FROM carts WHERE true").rowcount == 480
        connection.rollback()
    assert "BREAK GLASS by fireman at shop: orders are stuck" in shop.log
    recorded = shop.recorded("fireman")
    assert recorded[0]["header"]["break_glass"] == "orders are stuck"
    assert [item["fields"]["reason"] for item in recorded if item.get("name") == "break_glass"] == ["orders are stuck"]
    (deleted,) = [item for item in shop.asked("fireman") if item["verb"] == "delete"]
    assert deleted["policies"] == ["break-glass-overrides-everything"]
    with pytest.raises(psycopg.OperationalError, match="intruder asks to break the glass and is of no group that may"):
        shop.connect(shop.token("intruder"), application_name=glass)
    with pytest.raises(psycopg.OperationalError, match="needs a reason"):
        shop.connect(shop.token("fireman", ("break-glass",)), application_name="break-glass:")
    assert "intruder asks to break the glass" in shop.log


# reloads


def wait_for(happened: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def allowed(connection: psycopg.Connection[object], statement: str) -> bool:
    try:
        connection.execute(statement.encode())
    except errors.InsufficientPrivilege:
        return False
    return True


def test_policies_are_read_anew_when_files_change_and_on_sighup_and_sessions_go_on(variants: Stack) -> None:
    policies = variants.config / "policies"
    extra = policies / "90-test.cedar"
    question = "SELECT count(*) FROM products"
    with variants.connect(variants.token("reloads"), autocommit=True) as connection:
        assert allowed(connection, question)
        session = variants.session("reloads")["id"]
        extra.write_text('@id("closed-today")\nforbid (principal, action == Action::"read", resource);\n')
        wait_for(lambda: not allowed(connection, question))
        with pytest.raises(errors.InsufficientPrivilege, match="closed-today"):
            connection.execute(question.encode())

        before = variants.log
        broken = "this is no policy"
        extra.write_text(broken)
        wait_for(lambda: "the old one stays in force" in variants.log[len(before) :])
        assert "90-test.cedar" in variants.log[len(before) :]
        assert not allowed(connection, question), "the last valid one still holds"

        extra.unlink()
        variants.local.reload()  # SIGHUP
        wait_for(lambda: allowed(connection, question))
        assert variants.session("reloads")["id"] == session


def test_a_broken_gateway_yaml_changes_nothing(variants: Stack) -> None:
    file = variants.config / "gateway.yaml"
    text = file.read_text()
    before = len(variants.log)
    file.write_text(text.replace("version: 1", "version: 2"))
    try:
        wait_for(lambda: "the old one stays in force" in variants.log[before:])
        with variants.connect(autocommit=True) as connection:
            assert allowed(connection, "SELECT 1")
    finally:
        file.write_text(text)
        wait_for(lambda: "the new configuration is in force" in variants.log[before:])


def test_a_policy_that_went_with_a_reload_no_longer_vouches_for_an_approval(variants: Stack) -> None:
    statement = "UPDATE carts SET state = state WHERE id = 11"
    extra = variants.config / "policies" / "91-test.cedar"
    with variants.connect(variants.token("outlives"), autocommit=True) as connection:
        with pytest.raises(psycopg.Error):
            connection.execute(statement.encode())
        decide(variants, requests(variants, "outlives")[0].request.id)
        before = len(variants.log)
        extra.write_text('@id("another-day")\nforbid (principal, action == Action::"administer", resource);\n')
        try:
            wait_for(lambda: "the new configuration is in force" in variants.log[before:])
            with pytest.raises(psycopg.Error) as pending:
                connection.execute(statement.encode())
            assert pending.value.sqlstate == SQLSTATES[DenialCode.PENDING], "it was given under other rules"
        finally:
            extra.unlink()
            wait_for(lambda: variants.log[before:].count("the new configuration is in force") >= 2)
