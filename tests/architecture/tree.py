"""What the architecture tests look at: the repository's own files."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("blastwall", "fargate_proxy", "lambdas", "stacks", "cli", "rig")


@cache
def tracked() -> tuple[Path, ...]:
    """Files that git has or would take, relative to the root; without git (an unpacked archive) all but dot directories."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = {Path(name) for name in listed.stdout.decode().split("\0") if name}
    else:
        names = {path.relative_to(ROOT) for path in ROOT.rglob("*")}
        names = {name for name in names if not any(part.startswith(".") for part in name.parts[:-1])}
    return tuple(sorted(name for name in names if (ROOT / name).is_file()))


def modules(*packages: str) -> list[Path]:
    """Python files of the packages, relative to the root."""
    return [path for path in tracked() if path.suffix == ".py" and path.parts[0] in packages]


@cache
def parsed(module: Path) -> ast.Module:
    return ast.parse((ROOT / module).read_text(), filename=str(module))
