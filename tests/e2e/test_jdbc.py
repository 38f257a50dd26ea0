"""pgjdbc: its query modes, its metadata calls, fetch sizes; compared with the database itself."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import urlencode

import pytest

from blastwall.model import DenialCode
from blastwall.protocols.postgres.refusal import SQLSTATES
from tests.e2e.clients import fetch
from tests.e2e.people import deciding
from tests.e2e.stacks import Stack

PROGRAM = Path(fetch.__file__).parent / "Session.java"


@pytest.fixture(scope="module")
def java() -> fetch.Java:
    return fetch.java()


def run(java: fetch.Java, url: str, what: str) -> dict[str, str]:
    """Finding -> what was seen, "! " before errors."""
    done = subprocess.run(
        [str(java.java), "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", java.classpath, str(PROGRAM), url, what],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = {}
    for line in done.stdout.splitlines():
        name, _, said = line.partition(" = ") if " = " in line.split(" ! ")[0] else line.partition(" ! ")
        found[name] = said
    return found


def through(stack: Stack, **more: str) -> str:
    words = {
        "user": stack.target, "password": stack.token(), "sslmode": "verify-full", "sslrootcert": stack.ca,
        "connectTimeout": "10", "socketTimeout": "25", "prepareThreshold": "3",
    }  # fmt: skip
    return f"jdbc:postgresql://{stack.host}:{stack.port}/{stack.target}?{urlencode(words | more)}"


def past(stack: Stack) -> str:
    """As the gateway's own user of the database."""
    own = stack.own()
    words = {"user": own["user"], "password": own["password"], "sslmode": "verify-full", "sslrootcert": stack.ca}
    return f"jdbc:postgresql://{own['host']}:{own['port']}/{own['dbname']}?{urlencode(words)}"


def test_what_its_metadata_calls_ask_is_answered_as_the_database_does(shop: Stack, java: fetch.Java) -> None:
    """Among them what DBeaver, DataGrip and the like build their trees from."""
    seen = run(java, through(shop), "metadata")
    assert len(seen) == 30
    assert seen == run(java, past(shop), "metadata")
    assert not {name: said for name, said in seen.items() if said.startswith(("42", "58"))}


@pytest.mark.parametrize("mode", ["simple", "extended", "extendedForPrepared", "extendedCacheEverything"])
def test_a_session_in_each_of_its_query_modes(shop: Stack, java: fetch.Java, mode: str) -> None:
    agent = f"java-{mode}"
    with deciding(shop, agent, "deny"):
        seen = run(java, through(shop, password=shop.token(agent), preferQueryMode=mode), "session")
    assert seen["simple"] == " [1000]"
    assert seen["several"] == " [2]"
    assert seen["prepared"] == "".join(f" [{number}]" for number in range(1, 13))
    for name in ("refused", "refusedPrepared", "inTransaction", "copyFile"):
        assert seen[name].startswith("42501 ERROR: blastwall: this statement is not permitted"), (name, seen[name])
        assert "Detail: " in seen[name] and "Hint: " in seen[name]
    assert seen["after"] == " [5]"
    # A pipelined write gets a ticket at once; one that arrives alone waits for the person, who says no.
    assert seen["batch"].startswith((SQLSTATES[DenialCode.PENDING], SQLSTATES[DenialCode.DENIED])), seen["batch"]
    assert seen["fetched"] == "1000"
    assert seen["failed"].startswith("25P02")
    assert seen["recovered"] == " [1000]"
    assert seen["isolation"] == " [serializable]"
    assert seen["copyOut"] == "40 40"
    assert seen["timeout"].startswith("57014")
    assert seen["valid"] == "true"
    assert seen["databaseError"].startswith("22012")
    assert shop.value("SELECT count(*) FROM carts WHERE id <= 3 AND state = 'active'") == 3


def test_autosave_recovers_inside_a_transaction(shop: Stack, java: fetch.Java) -> None:
    """With ``autosave=always`` the driver puts a savepoint before each statement and goes back to it after an error."""
    seen = run(java, through(shop, autosave="always"), "session")
    assert seen["inTransaction"].startswith("42501")
    assert seen["failed"] == " [1]"
    assert seen["recovered"] == " [1000]"
