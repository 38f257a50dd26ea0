"""pg_dump: an agent that copies everything out is refused, and told what to do instead."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from rig.postgres import installation
from tests.e2e.stacks import Stack


def dump(stack: Stack, agent: str, *words: str) -> subprocess.CompletedProcess[str]:
    environ = stack.environ(stack.token(agent)) | {"PATH": os.environ["PATH"]}
    command = [str(installation(17) / "bin" / "pg_dump"), *words]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.parametrize(
    "words", [(), ("-s",), ("-a", "-t", "orders"), ("-Fc",)], ids=["all", "schema", "a table", "custom"]
)
def test_a_dump_is_refused_with_a_clear_message(shop: Stack, tmp_path: Path, words: tuple[str, ...]) -> None:
    file = tmp_path / "dump"
    done = dump(shop, f"dumps-{len(words)}-{words[-1] if words else ''}", *words, "-f", str(file))
    print(done.stderr)
    assert done.returncode == 1
    assert "blastwall: this statement is not permitted" in done.stderr
    assert "DETAIL:  " in done.stderr and "HINT:  " in done.stderr
    assert not file.exists() or file.stat().st_size == 0
