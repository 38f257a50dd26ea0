import stat
from pathlib import Path

import pytest

from stacks import node


def a_node(folder: Path) -> Path:
    folder.mkdir()
    program = folder / "node"
    program.write_text("#!/bin/sh\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


def test_the_wheels_node_goes_before_the_machines(tmp_path: Path) -> None:
    wheel, machine = a_node(tmp_path / "wheel"), a_node(tmp_path / "machine")
    environ = {"PATH": str(machine)}
    assert node.provide(environ, wheel) == str(wheel / "node")
    assert environ["PATH"] == f"{wheel}:{machine}"
    assert node.provide(environ, wheel) == str(wheel / "node")
    assert environ["PATH"].count(str(wheel)) == 1


def test_a_machines_node_serves_where_no_wheel_is(tmp_path: Path) -> None:
    machine = a_node(tmp_path / "machine")
    assert node.provide({"PATH": str(machine)}, None) == str(machine / "node")


def test_without_any_node_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="make setup"):
        node.provide({"PATH": str(tmp_path)}, None)


def test_the_pinned_wheel_is_installed() -> None:
    found = node.bundled()
    assert found is not None
    assert (found / "node").is_file()
