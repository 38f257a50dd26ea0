"""Each source module has a test of its own at the mirrored path; exceptions are a table with reasons."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

from tests.architecture.tree import PACKAGES, ROOT, modules, parsed

EXCEPTIONS: dict[str, dict[str, str]] = tomllib.loads((ROOT / "tests/architecture/exceptions.toml").read_text())
UNMIRRORED, BESIDE = EXCEPTIONS["unmirrored"], EXCEPTIONS["beside"]


def mirror(module: Path) -> Path:
    return Path("tests") / module.parent / f"test_{module.stem}.py"


def has_code(module: Path) -> bool:
    """Whether there is anything but a docstring, imports and an export list."""
    plain = (ast.Import, ast.ImportFrom, ast.Expr)
    return any(
        not isinstance(node, plain)
        and not (isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"])
        for node in parsed(module).body
    )


def wanting() -> set[str]:
    found = [module for module in modules(*PACKAGES) if has_code(module)]
    return {str(module) for module in found if not (ROOT / mirror(module)).is_file()}


def test_each_module_has_its_mirrored_test() -> None:
    missing = sorted(name for name in wanting() if name not in UNMIRRORED)
    assert not missing, "no mirrored test for: " + ", ".join(f"{name} ({mirror(Path(name))})" for name in missing)


def strays() -> set[str]:
    """Tests in mirrored folders that are neither a module's mirror nor named test_<module>_<aspect>.py."""
    sources = {mirror(module) for module in modules(*PACKAGES)}
    folders = {path.parent for path in sources}
    return {
        str(path)
        for path in modules("tests")
        if path.name.startswith("test_") and path.parent in folders
        if not any(
            path.stem == source.stem or path.stem.startswith(f"{source.stem}_") for source in beside(path, sources)
        )
    }


def beside(path: Path, sources: set[Path]) -> list[Path]:
    return [source for source in sources if source.parent == path.parent]


def test_a_test_without_a_source_is_on_the_table() -> None:
    """A test whose source was renamed would go unnoticed."""
    unknown = sorted(strays() - set(BESIDE))
    assert not unknown, f"no source module for {unknown}: name them test_<module>_<aspect>.py"


def test_the_exceptions_are_still_needed_and_say_why() -> None:
    assert not sorted(set(UNMIRRORED) - wanting()), "these have a test now, or are gone: take them off the table"
    assert not sorted(set(BESIDE) - strays()), "these have a source now, or are gone: take them off the table"
    reasons = [reason for table in EXCEPTIONS.values() for reason in table.values()]
    assert all(len(reason.split()) >= 4 for reason in reasons)
