from __future__ import annotations

from pathlib import Path

import pytest

from bench.pgbench import BenchFault
from bench.pgbouncer import find, libraries, wanted_libraries


def test_libraries_are_read_from_a_debian_dependency_field() -> None:
    depends = "lsb-base (>= 3.1), postgresql-common (>= 26), libc-ares2 (>= 1.12), libc6 (>= 2.36), libssl3 | libssl1.1, libpam0g:any"
    assert wanted_libraries(depends) == ["libc-ares2", "libssl3", "libpam0g"]


def test_an_unpacked_program_brings_its_libraries(tmp_path: Path) -> None:
    program = tmp_path / "usr" / "sbin" / "pgbouncer"
    library = tmp_path / "usr" / "lib" / "x86_64-linux-gnu" / "libcares.so.2"
    for file in (program, library):
        file.parent.mkdir(parents=True)
        file.touch()
    assert libraries(program) == str(library.parent)
    assert libraries(Path("/usr/sbin/pgbouncer")) == ""


def test_a_named_program_must_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGBOUNCER", str(tmp_path / "nosuch"))
    with pytest.raises(BenchFault, match="nosuch"):
        find(tmp_path)
    program = tmp_path / "mine"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PGBOUNCER", str(program))
    assert find(tmp_path) == program
