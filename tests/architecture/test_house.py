"""Small rules of the house: file sizes, names, no printing, tables that load, requirements that are pinned."""

from __future__ import annotations

import ast
import re
import tomllib

from tests.architecture.tree import PACKAGES, ROOT, modules, parsed, tracked

LINES = 450
VAGUE = {
    "manager",
    "managers",
    "helper",
    "helpers",
    "util",
    "utils",
    "service",
    "services",
    "data",
    "info",
    "common",
    "misc",
}


def test_no_file_needs_a_table_of_contents() -> None:
    sources = [path for path in tracked() if path.suffix == ".py"]
    assert len(sources) > 20
    long = {str(path): lines for path in sources if (lines := len((ROOT / path).read_text().splitlines())) > LINES}
    assert not long, f"longer than {LINES} lines: split by idea: {long}"


def test_modules_are_named_for_what_they_are() -> None:
    vague = [str(path) for path in modules(*PACKAGES) if {path.stem, *path.parent.parts} & VAGUE]
    assert not vague


def test_the_core_and_the_gateway_do_not_print() -> None:
    printing = [
        f"{module}:{node.lineno}"
        for module in modules("blastwall", "fargate_proxy")
        for node in ast.walk(parsed(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not printing


def imported(tree: ast.Module) -> set[str]:
    """Top-level names of the modules that are imported anywhere in the file."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_the_pure_floors_keep_clocks_chance_and_devices_outside() -> None:
    pure = {
        "policy",
        "masking",
        "recording",
        "audit",
        "identity",
        "sql",
        "wire",
        "approvals",
        "model.py",
        "errors.py",
    }
    impure = {
        str(module)
        for module in modules("blastwall")
        if module.parts[1] in pure
        and imported(parsed(module)) & {"time", "random", "secrets", "uuid", "socket", "subprocess", "multiprocessing"}
    }
    excused = tomllib.loads((ROOT / "tests/architecture/exceptions.toml").read_text())["impure"]
    assert sorted(impure) == sorted(excused)


def test_every_table_loads_and_holds_something() -> None:
    tables = [path for path in tracked() if path.suffix == ".toml"]
    assert tables
    for path in tables:
        assert tomllib.loads((ROOT / path).read_text()), path


def test_every_requirement_is_pinned() -> None:
    files = [path for path in tracked() if re.fullmatch(r"requirements.*\.txt", path.name)]
    assert len(files) >= 2
    for path in files:
        seen: set[str] = set()
        for line in (ROOT / path).read_text().splitlines():
            wanted = line.split("#")[0].strip()
            if not wanted or wanted.startswith("-r "):
                continue
            pinned = re.fullmatch(r"([A-Za-z0-9._-]+)(\[[a-z0-9,]+\])?==[^\s;,*]+( ?;.*)?", wanted)
            assert pinned, f"{path}: {wanted!r} is not pinned with =="
            name = re.sub(r"[-_.]+", "-", pinned[1]).lower()
            assert name not in seen, f"{path}: {name} is there twice"
            seen.add(name)
