"""The lists of operators, types, methods and system relations, against real servers."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from blastwall.sql.builtins import builtins, system_relations
from rig.postgres import EmbeddedPostgres


@pytest.fixture(scope="module", params=[17, 18])
def connection(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection]:
    server: EmbeddedPostgres = request.getfixturevalue(f"postgres{request.param}")
    with psycopg.connect(server.dsn()) as opened:
        yield opened


def names(connection: psycopg.Connection, query: str) -> set[str]:
    return {row[0] for row in connection.execute(query)}


def test_operators_are_exactly_the_servers_own(connection: psycopg.Connection) -> None:
    shipped = names(connection, "SELECT oprname FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace")
    assert builtins().operators == shipped


def test_types_are_the_servers_own_and_neither_pseudo_nor_internal(connection: psycopg.Connection) -> None:
    shipped = names(
        connection,
        "SELECT typname FROM pg_type "
        "WHERE typnamespace = 'pg_catalog'::regnamespace AND typrelid = 0 AND typtype <> 'p'",
    )
    assert builtins().types <= shipped | {"record"}
    assert {name for name in shipped if not name.startswith(("_", "pg_", "gts"))} <= builtins().types


def test_every_system_relation_is_listed_once(connection: psycopg.Connection) -> None:
    table = system_relations()
    shipped = connection.execute(
        "SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE relkind IN ('r', 'v') AND nspname IN ('pg_catalog', 'information_schema')"
    ).fetchall()
    assert len(shipped) > 190
    assert sorted(name for schema, name in shipped if not table.known(schema, name)) == []
    assert not (table.pg_catalog | table.information_schema) & set(table.sensitive)


def test_what_the_server_keeps_from_public_is_sensitive(connection: psycopg.Connection) -> None:
    closed = names(
        connection,
        "SELECT relname FROM pg_class c WHERE relkind IN ('r', 'v') AND relnamespace = 'pg_catalog'::regnamespace "
        "AND relacl IS NOT NULL AND NOT EXISTS (SELECT 1 FROM aclexplode(relacl) WHERE grantee = 0)",
    )
    assert len(closed) > 8
    assert closed <= set(system_relations().sensitive)


def test_columns_named_like_functions_are_columns(connection: psycopg.Connection) -> None:
    columns = names(
        connection,
        "SELECT attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid "
        "WHERE relnamespace = 'pg_catalog'::regnamespace AND attnum > 0",
    )
    since_18 = {"length", "path"} if connection.info.server_version < 180000 else set()
    assert system_relations().function_like_columns <= columns | since_18


def test_methods_are_the_servers_own(connection: psycopg.Connection) -> None:
    known = builtins()
    assert known.index_methods == names(connection, "SELECT amname FROM pg_am WHERE amtype = 'i'")
    assert known.table_methods == names(connection, "SELECT amname FROM pg_am WHERE amtype = 't'")
    shipped = names(connection, "SELECT opcname FROM pg_opclass WHERE opcnamespace = 'pg_catalog'::regnamespace")
    assert known.operator_classes <= shipped
