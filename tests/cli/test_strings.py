"""Connection strings that real drivers parse back to what was meant."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg.conninfo
import sqlalchemy

from cli import strings
from cli.strings import Door

CA = Path("/var/lib/a place/ca.pem")
DOOR = Door.at("127.0.0.1:7432", "shop", "reader@shop", CA)


def test_libpq_reads_back_what_was_meant() -> None:
    parsed = psycopg.conninfo.conninfo_to_dict(strings.libpq(DOOR))
    assert parsed == {
        "host": "127.0.0.1",
        "port": "7432",
        "dbname": "shop",
        "user": "reader@shop",
        "sslmode": "verify-full",
        "sslrootcert": str(CA),
    }


def test_sqlalchemy_reads_back_what_was_meant() -> None:
    text = strings.postgres(DOOR)["SQLAlchemy"]
    url = sqlalchemy.make_url(text.split('"')[1])
    assert (url.drivername, url.username, url.host, url.port, url.database) == (
        "postgresql+psycopg",
        "reader@shop",
        "127.0.0.1",
        7432,
        "shop",
    )
    assert url.query == {"sslmode": "verify-full", "sslrootcert": str(CA)}
    assert url.password is None


def test_jdbc_and_node_name_the_same_place() -> None:
    texts = strings.postgres(DOOR)
    jdbc = urlsplit(texts["JDBC"].removeprefix("jdbc:"))
    assert (jdbc.hostname, jdbc.port, jdbc.path) == ("127.0.0.1", 7432, "/shop")
    assert parse_qs(jdbc.query) == {"user": ["reader@shop"], "sslmode": ["verify-full"], "sslrootcert": [str(CA)]}
    node = urlsplit(texts["node-postgres"].split('"')[1])
    assert (unquote(node.username or ""), node.port, node.path) == ("reader@shop", 7432, "/shop")


def test_an_ipv6_address_keeps_its_brackets() -> None:
    door = Door.at("[::1]:7432", "shop", "shop", CA)
    assert (door.host, door.port) == ("::1", 7432)
    assert psycopg.conninfo.conninfo_to_dict(strings.libpq(door))["host"] == "::1"
