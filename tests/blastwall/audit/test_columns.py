"""One list of columns for two engines: it holds what the map can fill, no more, and both engines take it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import duckdb
import sqlglot

import blastwall.audit.columns as module
from blastwall.audit.columns import (
    PATHS,
    TABLE,
    duckdb_columns,
    hive_columns,
    partition,
    table_parameters,
)
from blastwall.audit.project import SECRET

MAP = tomllib.loads((Path(module.__file__).parent / "audit_map.toml").read_text())
# What every event has by itself (project.py), and what an oversized one gets (sink.py).
OWN = {
    *("time", "class_uid", "category_uid", "activity_id", "activity_name", "type_uid", "severity_id", "status_id"),
    "unmapped.blastwall.cut",
}
TOTALS = {f"unmapped.blastwall.totals.{name}" for name in ("statements", "denied", "rows", "relayed_bytes")}


def test_the_columns_are_what_the_map_fills():
    filled = {
        path for section in MAP["fields"].values() for path, (_, visibility) in section.items() if visibility != SECRET
    }
    assert set(PATHS) == (filled - {"unmapped.blastwall.totals"}) | OWN | TOTALS


def test_nothing_secret_has_a_column():
    secret = {path for section in MAP["fields"].values() for path, (_, kind) in section.items() if kind == SECRET}
    assert secret
    assert not secret & set(PATHS)


def test_hive_types():
    columns = hive_columns()
    assert columns["time"] == "bigint"
    assert columns["authorizations"] == "array<struct<policy:struct<name:string>>>"
    assert columns["database"] == "struct<name:string,type:string,type_id:int>"
    assert columns["actor"].startswith("struct<session:struct<uid:string>,user:struct<name:string,uid:string,")
    assert "labels:map<string,string>" in columns["unmapped"]


def test_athena_and_duckdb_take_the_table():
    fields = ", ".join(f"`{name}` {type_}" for name, type_ in hive_columns().items())
    made = sqlglot.parse_one(f"CREATE EXTERNAL TABLE {TABLE} ({fields})", dialect="hive")
    assert len(made.this.expressions) == len(hive_columns())
    with duckdb.connect() as engine:
        own = ", ".join(f'"{name}" {type_}' for name, type_ in duckdb_columns().items())
        engine.execute(f"CREATE TABLE {TABLE} ({own})")
        found = engine.execute(f"SELECT count(*), max(unmapped.blastwall.totals.rows) FROM {TABLE}").fetchall()
    assert found == [(0, None)]
    assert list(hive_columns()) == list(duckdb_columns())


def test_partitions_are_utc_hours_and_projected():
    assert partition(1_800_000_000_000) == {"dt": "2027-01-15", "hour": "08"}
    parameters = table_parameters("s3://bucket/audit/")
    assert parameters["storage.location.template"] == "s3://bucket/audit/dt=${dt}/hour=${hour}"
    assert parameters["projection.enabled"] == "true"
    assert all(isinstance(value, str) for value in parameters.values())
