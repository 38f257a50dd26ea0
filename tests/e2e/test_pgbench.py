"""pgbench: many small statements in each protocol mode, from several connections at once."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.postgres import installation
from tests.e2e.stacks import Stack

SCRIPT = r"""
\set id random(1, 1000)
SELECT status FROM orders WHERE id = :id;
BEGIN;
SELECT count(*) FROM order_items WHERE order_id = :id;
SELECT o.id, c.name FROM orders AS o JOIN customers AS c ON c.id = o.customer_id WHERE o.id = :id;
END;
"""
REFUSED = r"""
SELECT 1;
DELETE FROM orders;
"""


def pgbench(stack: Stack, script: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [str(installation(17) / "bin" / "pgbench"), "-n", "-c", "4", "-j", "2", "-f", str(script), *words]
    environ = stack.environ(stack.token()) | {"PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "mixed.sql"
    file.write_text(SCRIPT)
    yield file


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_every_transaction_is_processed(shop: Stack, script: Path, mode: str) -> None:
    done = pgbench(shop, script, "-M", mode, "-t", "50")
    assert "number of transactions actually processed: 200/200" in done.stdout
    assert "number of failed transactions: 0 (0.000%)" in done.stdout


@pytest.mark.parametrize("mode", ["extended", "prepared"])
def test_its_pipelines_are_processed(shop: Stack, tmp_path: Path, mode: str) -> None:
    file = tmp_path / "pipeline.sql"
    file.write_text(r"\startpipeline" + "\n" + "SELECT id FROM orders WHERE id = 7;\n" * 20 + r"\endpipeline" + "\n")
    done = pgbench(shop, file, "-M", mode, "-t", "10")
    assert "number of transactions actually processed: 40/40" in done.stdout


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_a_refusal_ends_its_clients_with_our_words(shop: Stack, tmp_path: Path, mode: str) -> None:
    file = tmp_path / "refused.sql"
    file.write_text(REFUSED)
    done = pgbench(shop, file, "-M", mode, "-t", "5", code=2)
    assert len(re.findall(r"blastwall: this statement is not permitted \(.*no-unbounded-writes", done.stderr)) == 4
    assert shop.value("SELECT count(*) FROM orders") == 1000


def test_its_own_initialisation_is_refused(shop: Stack) -> None:
    """It begins with DROP TABLE IF EXISTS."""
    command = [str(installation(17) / "bin" / "pgbench"), "-i", "-s", "1"]
    environ = shop.environ(shop.token()) | {"PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode != 0
    assert "blastwall: this statement is not permitted" in done.stderr
