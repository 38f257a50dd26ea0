"""What `blastwall up` prints for each client is given to that client, character for character."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from cli import strings
from tests.e2e.clients import fetch
from tests.e2e.stacks import Stack

CLASS = """
import java.sql.*;
public class Printed {
    public static void main(String[] words) throws Exception {
        try (Connection connection = DriverManager.getConnection(words[0], null, System.getenv("TOKEN"))) {
            ResultSet rows = connection.createStatement().executeQuery("SELECT count(*) FROM orders");
            rows.next();
            System.out.println(rows.getInt(1));
        }
    }
}
"""


@pytest.fixture(scope="module")
def printed(shop: Stack, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """With an authority at a path that is no plain word."""
    authority = tmp_path_factory.mktemp("of an agent's") / "the+ca 100%.pem"
    authority.write_bytes(Path(shop.ca).read_bytes())
    return strings.postgres(strings.Door(shop.host, shop.port, "shop", "shop", authority))


def said(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_psql(shop: Stack, printed: Mapping[str, str]) -> None:
    assert said("sh", "-c", f"{printed['psql']} -Atc 'SELECT count(*) FROM orders'", PGPASSWORD=shop.token()) == "1000"


@pytest.mark.parametrize(
    ("client", "program"),
    [
        ("psycopg", "import psycopg; print({}.execute('SELECT count(*) FROM orders').fetchone()[0])"),
        (
            "SQLAlchemy",
            "from sqlalchemy import create_engine, text; print({}.connect().scalar(text('SELECT count(*) FROM orders')))",
        ),
    ],
)
def test_python(shop: Stack, printed: Mapping[str, str], client: str, program: str) -> None:
    assert said(sys.executable, "-c", program.format(printed[client]), PGPASSWORD=shop.token()) == "1000"


def test_node_postgres(shop: Stack, printed: Mapping[str, str]) -> None:
    program = (
        f"const {{Client}} = require('pg'); const client = {printed['node-postgres']};"
        "client.connect().then(() => client.query('SELECT count(*) FROM orders'))"
        ".then(answer => { console.log(answer.rows[0].count); return client.end() })"
    )
    node = fetch.node()
    assert said(str(node.node), "-e", program, NODE_PATH=str(node.modules), PGPASSWORD=shop.token()) == "1000"


def test_jdbc_with_the_token_as_password(shop: Stack, printed: Mapping[str, str], tmp_path: Path) -> None:
    java = fetch.java()
    (tmp_path / "Printed.java").write_text(CLASS)
    quick = ("-XX:TieredStopAtLevel=1", "-Xshare:auto")
    command = (str(java.java), *quick, "-cp", java.classpath, str(tmp_path / "Printed.java"), printed["JDBC"])
    assert said(*command, TOKEN=shop.token()) == "1000"
