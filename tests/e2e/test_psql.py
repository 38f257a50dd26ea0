"""psql, the client that people and agents reach for first. Both are compared: through the gateway, and past it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rig.postgres import installation, psql_path
from tests.e2e.people import deciding
from tests.e2e.stacks import ROOT, Stack

SECONDS = 30.0


def psql(
    environ: dict[str, str],
    *words: str,
    script: str | None = None,
    code: int = 0,
    stop: bool = True,
    program: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run psql; a script stops at its first error (``stop``) as agents' tools have it."""
    command = [str(program or psql_path()), "-X", *(("-v", "ON_ERROR_STOP=1") if stop else ()), *words]
    if script is not None:
        command += ["-f", "-"]
    done = subprocess.run(
        command,
        input=script,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "PGCONNECT_TIMEOUT": "10"} | environ,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def past(stack: Stack) -> dict[str, str]:
    """psql's environment as the gateway's own user of the database, without the gateway."""
    own = stack.own()
    return {
        "PGHOST": own["host"],
        "PGPORT": str(own["port"]),
        "PGUSER": own["user"],
        "PGDATABASE": own["dbname"],
        "PGPASSWORD": own["password"],
        "PGCLIENTENCODING": "UTF8",
    }


@pytest.fixture
def agent(shop: Stack) -> dict[str, str]:
    return shop.environ(shop.token())


DESCRIBING = r"""
\d
\d+
\d customers
\d+ orders
\d orders_pkey
\dt+ public.*
\di+
\dv
\dm
\ds
\dn+
\df
\df public.*
\dT
\dD
\dC
\do
\dx
\dL
\dc
\dp
\ddp
\du
\dg
\l
\db
\des
\det
\dew
\dy
\dF
\dO
\dRp
\dAc btree integer
\z orders
"""


def test_what_psql_asks_to_describe_a_database_is_answered_as_the_database_does(
    shop: Stack, agent: dict[str, str]
) -> None:
    beside = past(shop)  # makes a login, which \\du lists
    through = psql(agent, "-a", script=DESCRIBING, stop=False)
    direct = psql(beside, "-a", script=DESCRIBING, stop=False)
    assert (through.stdout, through.stderr) == (direct.stdout, direct.stderr)
    assert "Referenced by:" in through.stdout and 'TABLE "order_items"' in through.stdout


def test_descriptions_that_hold_secrets_are_refused_and_say_so(agent: dict[str, str]) -> None:
    """Connection strings of subscriptions, passwords of foreign servers, settings of other roles."""
    for verb in (r"\dRs", r"\deu", r"\drds"):
        done = psql(agent, "-c", verb, code=1)
        assert re.search(
            r"DETAIL:  .*Reads pg_catalog\.pg_\w+, which holds (connection strings|passwords|settings)", done.stderr
        )


QUERIES = r"""
SELECT id, name, birth_date FROM customers ORDER BY id LIMIT 3;
SELECT count(*), sum(price) FROM products \gx
SELECT status, count(*) AS n FROM orders GROUP BY 1 ORDER BY 1 LIMIT 1 \gset last_
\echo :last_status :last_n
SELECT id, name, price FROM products WHERE id = 7 \gdesc
SELECT name FROM products WHERE id = $1 AND price > $2 \bind 7 0 \g
SELECT $1::int + $2::int AS sum \bind 40 2 \g
SELECT 1 \; SELECT 2 AS two \; SELECT 3;
SELECT 'SELECT ' || i FROM generate_series(1, 3) AS i \gexec
SELECT tier, city, count(*) AS n FROM customers WHERE id < 50 GROUP BY 1, 2 ORDER BY 1, 2 \crosstabview tier city n
BEGIN;
SELECT now() = transaction_timestamp() AS same;
SAVEPOINT a;
ROLLBACK TO a;
COMMIT;
PREPARE one (int) AS SELECT name FROM products WHERE id = $1;
EXECUTE one (3);
EXPLAIN (COSTS off) EXECUTE one (3);
DEALLOCATE one;
\encoding
SHOW server_version;
"""


@pytest.mark.parametrize(
    "more", [(), ("-v", "FETCH_COUNT=2"), ("-1",)], ids=["plain", "fetch_count", "one transaction"]
)
def test_queries_and_psqls_own_verbs_answer_as_the_database_does(
    shop: Stack, agent: dict[str, str], more: tuple[str, ...]
) -> None:
    script = QUERIES if "-1" not in more else re.sub(r"^(BEGIN|COMMIT);\n", "", QUERIES, flags=re.MULTILINE)
    through = psql(agent, "-a", *more, script=script)
    assert through.stdout == psql(past(shop), "-a", *more, script=script).stdout
    assert "  42\n" in through.stdout
    assert "SELECT 3" not in through.stderr


def test_older_psqls_cursor_for_fetch_count_pages_through_a_result(agent: dict[str, str]) -> None:
    script = "\n".join(
        [
            "BEGIN;",
            "DECLARE _psql_cursor NO SCROLL CURSOR FOR",
            "SELECT id FROM orders ORDER BY id;",
            *["FETCH FORWARD 300 FROM _psql_cursor;"] * 5,
            "CLOSE _psql_cursor;",
            "COMMIT;",
        ]
    )
    done = psql(agent, "-qAt", script=script)
    assert done.stdout.split() == [str(number) for number in range(1, 1001)]


def test_copy_out_writes_the_same_file(shop: Stack, agent: dict[str, str], tmp_path: Path) -> None:
    for name, environ in (("through", agent), ("past", past(shop))):
        for number, form in enumerate(("csv, header", "text", "binary")):
            file = tmp_path / f"{name}-{number}"
            done = psql(environ, "-c", rf"\copy (SELECT * FROM orders ORDER BY id) TO '{file}' (FORMAT {form})")
            assert done.stdout == "COPY 1000\n"
    for number in range(3):
        assert (tmp_path / f"through-{number}").read_bytes() == (tmp_path / f"past-{number}").read_bytes()


def test_copy_in_waits_for_a_person_and_then_runs(shop: Stack, tmp_path: Path) -> None:
    file = tmp_path / "carts.csv"
    file.write_text("9001,1,active,2026-11-01\n9002,2,active,2026-11-01\n")
    try:
        with deciding(shop, "copies") as decided:
            environ = shop.environ(shop.token("copies"))
            done = psql(environ, "-c", rf"\copy carts FROM '{file}' (FORMAT csv)")
        assert done.stdout == "COPY 2\n"
        assert f"held for approval {decided[0]}" in done.stderr
        assert shop.value("SELECT count(*) FROM carts WHERE id > 9000") == 2
    finally:
        shop.direct("DELETE FROM carts WHERE id > 9000")


def test_a_refusal_reads_well_and_stops_a_script(shop: Stack, agent: dict[str, str]) -> None:
    script = "SELECT 1;\nDROP TABLE orders;\nSELECT 2;\n"
    done = psql(agent, "-v", "VERBOSITY=verbose", "-At", script=script, code=3)
    assert done.stdout == "1\n"
    first, *rest = done.stderr.splitlines()
    assert re.fullmatch(
        r"psql:<stdin>:2: ERROR:  42501: blastwall: this statement is not permitted \(.*no-destruction.*\)", first
    )
    assert any(line.startswith("DETAIL:  ") and "orders" in line for line in rest), done.stderr
    assert any(line.startswith("HINT:  ") and len(line) > 20 for line in rest), done.stderr
    assert shop.value("SELECT count(*) FROM orders") == 1000


def test_after_a_refusal_an_interactive_session_goes_on(shop: Stack, agent: dict[str, str]) -> None:
    script = (
        "DROP TABLE orders;\n\\errverbose\nSELECT 'still here';\nDELETE FROM orders;\nSELECT count(*) FROM orders;\n"
    )
    done = psql(agent, "-At", script=script, stop=False)
    assert done.stdout.splitlines()[-2:] == ["still here", "1000"]
    assert done.stderr.count("ERROR:  blastwall: this statement is not permitted") == 2
    assert "42501" in done.stdout + done.stderr  # \errverbose told it again


def test_one_transaction_with_a_refusal_keeps_nothing(shop: Stack) -> None:
    script = "INSERT INTO carts VALUES (9100, 1, 'active', now());\nDROP TABLE carts;\n"
    with deciding(shop, "one-shot"):
        done = psql(shop.environ(shop.token("one-shot")), "-1", script=script, code=3)
    assert "not permitted" in done.stderr
    assert shop.value("SELECT count(*) FROM carts WHERE id = 9100") == 0


def test_each_c_option_is_judged_and_the_exit_code_tells(agent: dict[str, str]) -> None:
    done = psql(agent, "-At", "-c", "SELECT 'a'", "-c", "TRUNCATE orders", "-c", "SELECT 'b'", code=1)
    assert done.stdout == "a\n"


def test_several_statements_in_one_message_are_refused_as_a_whole(shop: Stack, agent: dict[str, str]) -> None:
    done = psql(agent, "-At", "-c", "SELECT 'first'; DROP TABLE orders; SELECT 'last'", code=1)
    assert done.stdout == ""
    assert shop.value("SELECT to_regclass('orders')::text") == "orders"


PIPELINE = r"""
\startpipeline
SELECT 1 \bind \sendpipeline
SELECT $1::int \bind 2 \sendpipeline
\syncpipeline
SELECT 3 \bind \sendpipeline
DROP TABLE orders \bind \sendpipeline
SELECT 4 \bind \sendpipeline
\endpipeline
SELECT 'after';
"""


def test_pipelines_of_psql_18_through_the_local_proxy(shop: Stack) -> None:
    """That psql speaks no TLS: ``blastwall proxy`` takes it in on loopback, with a token of its own."""
    proxy = subprocess.Popen(
        [sys.executable, "-m", "cli", "proxy", "shop", "--port", "0", "--agent", "piped", "--state", str(shop.state)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        assert proxy.stdout is not None
        ready = proxy.stdout.readline()
        (port,) = re.findall(r"on 127\.0\.0\.1:(\d+)", ready)
        environ = {
            "PGHOST": "127.0.0.1",
            "PGPORT": port,
            "PGUSER": "shop",
            "PGDATABASE": "shop",
            "PGSSLMODE": "disable",
        }
        done = psql(environ, "-At", script=PIPELINE, stop=False, program=installation(18) / "bin" / "psql")
    finally:
        proxy.terminate()
        proxy.wait(10)
        assert proxy.stdout is not None
        proxy.stdout.close()
    assert done.stdout.split() == ["1", "2", "3", "after"]
    assert "blastwall: this statement is not permitted (no-destruction)" in done.stderr
    assert shop.value("SELECT count(*) FROM orders") == 1000


def test_a_wrong_password_a_wrong_target_and_no_tls_are_told_apart(shop: Stack) -> None:
    token = shop.token()
    right = shop.environ(token)
    for change, said in (
        ({"PGPASSWORD": "not-a-token"}, "does not open a session"),
        ({"PGUSER": "elsewhere"}, 'there is no target "elsewhere" here'),
        ({"PGDATABASE": "postgres"}, 'database "postgres" is not open to agents at shop'),
        ({"PGSSLMODE": "disable"}, "a token must not travel without TLS"),
    ):
        done = psql(right | change, "-c", "SELECT 1", code=2)
        assert said in done.stderr, (change, done.stderr)
        assert token not in done.stderr
