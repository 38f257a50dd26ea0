"""Local targets: roles without rights, seeds that are loaded once and whole."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from blastwall.config.model import TargetSection
from rig import account
from rig.certificates import Certificates
from rig.postgres import RigFault
from rig.targets import LocalTarget

SEED = "CREATE TABLE stock AS SELECT 3 AS kettles;\nGRANT SELECT ON stock TO reader;\n"


def section(**changes: Any) -> TargetSection:
    given = {
        "protocol": "postgres",
        "host": "db.example.test",
        "port": 5432,
        "credential": [{"kind": "static", "user": "reader"}, {"kind": "static", "user": "o'writer"}],
        "options": {"databases": ["shop", "archive"]},
        "local": {"engine": "postgres", "seed": "seed.sql"},
    }
    return TargetSection.model_validate(given | changes)


@pytest.fixture
def directory(rig_directory: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=rig_directory) as name:
        Path(name).chmod(0o711)
        (Path(name) / "seed.sql").write_text(SEED)
        yield Path(name)


def target(directory: Path, certificates: Certificates, **changes: Any) -> LocalTarget:
    return LocalTarget(
        "shop", section(**changes), config=directory, directory=directory / "target", certificates=certificates
    )


def test_the_overrides_open_it_over_verified_tls_with_exactly_the_seeds_rights(
    directory: Path, certificates: Certificates
) -> None:
    made = target(directory, certificates)
    try:
        assert "PostgreSQL 17 on port" in made.start()
        merged: Any = made.overrides()
        assert [entry["user"] for entry in merged["credential"]] == ["reader", "o'writer"]
        assert merged["tls"]["mode"] == "verify-full"
        for entry, allowed in zip(merged["credential"], (True, False), strict=True):
            file = Path(entry["password_file"])
            assert file.stat().st_mode & 0o777 == 0o600
            place = {"host": merged["host"], "port": merged["port"], "dbname": "shop"}
            login = {"user": entry["user"], "password": file.read_text()}
            tls = {"sslmode": "verify-full", "sslrootcert": merged["tls"]["ca_file"]}
            with psycopg.connect(**place, **login, **tls) as connection:
                if allowed:
                    assert connection.execute("SELECT kettles FROM stock").fetchone() == (3,)
                else:
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        connection.execute("SELECT kettles FROM stock")
        assert made.server.psql("SELECT count(*) FROM pg_database WHERE datname = 'archive'") == "1"
        assert made.server.psql("SHOW fsync") == "on"
    finally:
        made.server.destroy()


def test_data_is_kept_and_a_changed_seed_is_mentioned_but_not_loaded(
    directory: Path, certificates: Certificates
) -> None:
    made = target(directory, certificates)
    try:
        made.start()
        made.server.psql("INSERT INTO stock VALUES (4)", database="shop")
        made.server.stop()
        assert "PostgreSQL 17 on port" in made.start()
        assert made.server.psql("SELECT count(*) FROM stock", database="shop") == "2"
        made.server.stop()
        (directory / "seed.sql").write_text(SEED + "CREATE TABLE more ();\n")
        remark = made.start()
        assert "seed has changed" in remark
        assert str(directory / "target") in remark
        assert made.server.psql("SELECT to_regclass('more') IS NULL", database="shop") == "t"
    finally:
        made.server.destroy()


def test_data_that_was_lost_is_seeded_again(directory: Path, certificates: Certificates) -> None:
    made = target(directory, certificates)
    try:
        made.start()
        made.server.stop()
        account.remove_tree(made.server.workplace)
        assert "PostgreSQL 17 on port" in made.start()
        assert made.server.psql("SELECT kettles FROM stock", database="shop") == "3"
    finally:
        made.server.destroy()


def test_a_seed_that_fails_is_named_and_begun_again_from_nothing(directory: Path, certificates: Certificates) -> None:
    made = target(directory, certificates)
    try:
        (directory / "seed.sql").write_text(SEED + "SELECT nonsense;\n")
        with pytest.raises(RigFault, match=r"seed.sql failed:(.|\n)*nonsense"):
            made.start()
        assert not made.running()
        (directory / "seed.sql").write_text(SEED)
        assert "PostgreSQL 17 on port" in made.start()
        assert made.server.psql("SELECT kettles FROM stock", database="shop") == "3"
    finally:
        made.server.destroy()


def test_a_missing_seed_is_named(directory: Path, certificates: Certificates) -> None:
    (directory / "seed.sql").unlink()
    made = target(directory, certificates)
    with pytest.raises(RigFault, match=r"target shop: cannot read its seed .*seed\.sql"):
        made.start()
    made.server.destroy()


def test_without_databases_there_is_one_named_like_the_target(directory: Path, certificates: Certificates) -> None:
    assert target(directory, certificates, options={}).databases == ("shop",)


def test_what_cannot_be_started_here_is_refused(directory: Path, certificates: Certificates) -> None:
    with pytest.raises(RigFault, match="only local targets"):
        target(directory, certificates, local=None)
    with pytest.raises(RigFault, match="database of its own"):
        target(directory, certificates, options={"databases": ["postgres"]})


def test_a_credential_of_kind_role_gets_a_profile_and_an_admin_with_the_least_that_it_needs(
    directory: Path, certificates: Certificates
) -> None:
    wanted = {
        "kind": "role",
        "profile": "reader",
        "admin": {"user": "maker", "password_env": "NOT_HERE"},
        "connections": 3,
    }
    made = target(directory, certificates, credential=wanted)
    try:
        made.start()
        merged: Any = made.overrides()
        (entry,) = merged["credential"]
        again = section(credential=entry).credential[0]
        assert (again.kind, again.user, again.connections) == ("role", "reader", 3)
        assert entry["admin"]["user"] == "maker"
        place = {"host": merged["host"], "port": merged["port"], "dbname": "shop"}
        admin = {"user": "maker", "password": Path(entry["admin"]["password_file"]).read_text()}
        with psycopg.connect(**place, **admin, autocommit=True) as connection:
            connection.execute("CREATE ROLE bw_x LOGIN IN ROLE reader")
            connection.execute("DROP ROLE bw_x")
            for beyond in (
                "SELECT kettles FROM stock",
                "SET ROLE reader",
                "CREATE DATABASE x",
                "CREATE ROLE x SUPERUSER",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(beyond)
        login = "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'reader'"
        assert made.server.psql(login) == "f"
        made.server.stop()
        made.start()  # everything is there already
    finally:
        made.server.destroy()
