"""The embedded servers, started for real."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from rig import account
from rig.certificates import Certificates
from rig.postgres import EmbeddedPostgres, RigFault, installation


@pytest.fixture
def directory(rig_directory: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=rig_directory) as name:
        path = Path(name)
        path.chmod(0o711)
        yield path


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie that nobody reaps does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pid: int, seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_17_answers_over_verified_tls(postgres17: EmbeddedPostgres, certificates: Certificates) -> None:
    dsn = postgres17.dsn() + f"?sslmode=verify-full&sslrootcert={certificates.ca}"
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "SELECT current_setting('server_version_num')::int / 10000, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        ).fetchone()
    assert row == (17, True)


def test_18_answers(postgres18: EmbeddedPostgres) -> None:
    assert postgres18.psql("SELECT current_setting('server_version_num')::int / 10000") == "18"


def test_18_does_not_pretend_to_speak_tls(directory: Path, certificates: Certificates) -> None:
    with pytest.raises(RigFault, match="without TLS"):
        EmbeddedPostgres(directory / "pg", major=18, certificates=certificates)


def test_an_unknown_major_is_refused() -> None:
    with pytest.raises(RigFault, match=r"\[17, 18\]"):
        installation(12)


def test_a_wrong_password_is_refused(postgres18: EmbeddedPostgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres18.dsn(password="wrong"))


def test_its_log_is_its_owners_alone(postgres18: EmbeddedPostgres) -> None:
    """Statements that fail stand in it as they are."""
    with pytest.raises(psycopg.Error), psycopg.connect(postgres18.dsn()) as connection:
        connection.execute("SELECT 'a value'::int")
    log = postgres18.directory / "server.log"
    assert "a value" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_it_listens_on_loopback_only(postgres18: EmbeddedPostgres) -> None:
    assert postgres18.psql("SHOW listen_addresses") == "127.0.0.1"
    assert postgres18.psql("SHOW unix_socket_directories") == ""


def test_each_module_has_a_database_of_its_own(postgres18: EmbeddedPostgres, database18: str) -> None:
    postgres18.psql("CREATE TABLE mine (id int); INSERT INTO mine VALUES (7)", database=database18)
    assert postgres18.psql("SELECT id FROM mine", database=database18) == "7"
    assert postgres18.psql("SELECT to_regclass('mine') IS NULL") == "t"


def test_a_database_can_be_cloned_and_dropped_under_its_users(postgres18: EmbeddedPostgres, database18: str) -> None:
    postgres18.create_database('od"d', template=database18)
    with psycopg.connect(postgres18.dsn('od"d')) as user:
        postgres18.drop_database('od"d')
        with pytest.raises(psycopg.OperationalError):
            user.execute("SELECT 1")
    postgres18.drop_database('od"d')


def test_loading_a_file_stops_at_its_first_error(postgres18: EmbeddedPostgres, database18: str, tmp_path: Path) -> None:
    file = tmp_path / "seed.sql"
    file.write_text("CREATE TABLE seeded (id int);\nSELECT no_such_column;\nCREATE TABLE never (id int);\n")
    with pytest.raises(RigFault, match="no_such_column") as failure:
        postgres18.load(file, database=database18)
    assert str(file) in str(failure.value)
    assert postgres18.psql("SELECT to_regclass('seeded'), to_regclass('never')", database=database18) == "seeded|"
    with pytest.raises(RigFault, match="cannot read"):
        postgres18.load(tmp_path / "missing.sql")


def test_data_and_password_survive_a_restart_and_two_users_exclude_each_other(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = EmbeddedPostgres(directory / "pg", major=18)
    with server:
        server.psql("CREATE TABLE kept AS SELECT 42 AS answer")
        password = server.password
        server.password_file.write_bytes(b"\xae")
        with pytest.raises(RigFault, match=r"superuser\.password is damaged"):
            server.dsn()
        server.password_file.write_text(password)
        assert server.password_file.stat().st_mode & 0o777 == 0o600
        monkeypatch.setattr("rig.postgres.LOCK_SECONDS", 0.2)
        with pytest.raises(RigFault, match="in use by another process"):
            EmbeddedPostgres(directory / "pg", major=18).start()
        assert server.psql("SELECT answer FROM kept") == "42"
    assert not server.running
    with EmbeddedPostgres(directory / "pg", major=18) as again:
        assert again.password == password
        assert again.psql("SELECT answer FROM kept") == "42"


def test_destroying_leaves_nothing(directory: Path) -> None:
    server = EmbeddedPostgres(directory / "pg", major=18).start()
    pid = int((directory / "pg" / "server.pid").read_text())
    server.destroy()
    assert not alive(pid)
    assert not (directory / "pg").exists()


def test_a_taken_port_is_a_clear_error(directory: Path, postgres18: EmbeddedPostgres) -> None:
    with pytest.raises(RigFault, match="Address already in use"):
        EmbeddedPostgres(directory / "pg", major=18, port=postgres18.port).start()


def test_an_interrupted_initdb_is_started_over(directory: Path) -> None:
    server = EmbeddedPostgres(directory / "pg", major=18).start()
    server.stop()
    data = next((directory / "pg" / "server").resolve().glob("data-18"))
    data.rename(data.with_name("data-18.new"))
    with server:
        assert server.psql("SELECT 1") == "1"


KILLED_PARENT = """
import sys, time
from pathlib import Path
from rig.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), major=18).start()
print((Path(sys.argv[1]) / "server.pid").read_text(), flush=True)
time.sleep(60)
"""


def start_in_a_child(path: Path) -> tuple[subprocess.Popen[str], int]:
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED_PARENT, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout is not None
    return child, int(child.stdout.readline())


def test_the_server_goes_when_its_parent_is_killed(directory: Path) -> None:
    child, pid = start_in_a_child(directory / "pg")
    assert alive(pid)
    child.kill()
    child.communicate()
    assert wait_until_gone(pid)


def test_a_server_that_outlived_even_its_warden_is_ended_by_the_next_start(directory: Path) -> None:
    child, pid = start_in_a_child(directory / "pg")
    warden = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    os.kill(warden, signal.SIGKILL)
    child.kill()
    child.communicate()
    assert alive(pid)
    with EmbeddedPostgres(directory / "pg", major=18) as server:
        assert server.psql("SELECT 1") == "1"
        assert not alive(pid)


@pytest.fixture
def closed_home() -> Iterator[Path]:
    """A home directory that only its owner may enter."""
    with tempfile.TemporaryDirectory() as name:
        assert Path(name).stat().st_mode & 0o777 == 0o700
        yield Path(name)


def test_a_closed_home_hides_neither_programs_nor_data(closed_home: Path) -> None:
    """A virtual environment and a state directory under a home of mode 0700, as root has one."""
    package = installation(18).parent
    for part in (package, package.with_name(f"{package.name}.libs")):
        if part.exists():
            shutil.copytree(part, closed_home / part.name, symlinks=True)
    home = closed_home / package.name / "pginstall"
    state = closed_home / "state"
    server = EmbeddedPostgres(state, major=18, home=home)
    with server:
        server.psql("CREATE TABLE kept AS SELECT 42 AS answer")
        program = Path(f"/proc/{(state / 'server.pid').read_text()}").stat().st_uid
        assert program != 0
    with EmbeddedPostgres(state, major=18, home=home) as again:
        assert again.psql("SELECT answer FROM kept") == "42"
        copy, elsewhere = again._home, (state / "server").resolve()
    again.destroy()
    assert not state.exists()
    assert not elsewhere.exists()
    if copy != home:
        account.remove_tree(copy.parent.parent)
        account._note_of(copy.parent.parent).unlink()
