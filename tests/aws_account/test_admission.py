"""The tests of a real account refuse to run anywhere else. Nothing here reaches AWS."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests_aws.admission import Account, NotAdmitted, admitted

ROOT = Path(__file__).parents[2]
ID = "123456789012"
NAMED = {"BLASTWALL_TEST_ACCOUNT": ID, "BLASTWALL_TEST_REGION": "eu-west-1"}
CALLER = {"Account": ID, "Arn": f"arn:aws:sts::{ID}:assumed-role/tester/me"}


def identify(caller: Mapping[str, Any] = CALLER) -> Any:
    return lambda region: caller


def unasked(region: str) -> Mapping[str, Any]:
    raise AssertionError("AWS was asked although the account was not named properly")


def test_the_named_account_is_admitted_and_changes_are_asked_for_apart() -> None:
    assert admitted(NAMED, identify()) == Account(ID, "eu-west-1", "Blastwall", CALLER["Arn"], False)
    more = {**NAMED, "BLASTWALL_TEST_NAME": "Trial", "BLASTWALL_TEST_CHANGES": ID}
    assert admitted(more, identify()) == Account(ID, "eu-west-1", "Trial", CALLER["Arn"], True)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "set BLASTWALL_TEST_ACCOUNT to the twelve digits"),
        ({**NAMED, "BLASTWALL_TEST_ACCOUNT": "any"}, "set BLASTWALL_TEST_ACCOUNT"),
        ({**NAMED, "BLASTWALL_TEST_ACCOUNT": ID + "\n"}, "set BLASTWALL_TEST_ACCOUNT"),
        ({"BLASTWALL_TEST_ACCOUNT": ID}, "set BLASTWALL_TEST_REGION"),
        ({**NAMED, "BLASTWALL_TEST_CHANGES": "yes"}, f"BLASTWALL_TEST_CHANGES must repeat {ID}"),
    ],
)
def test_without_a_name_nobody_is_asked(environ: dict[str, str], said: str) -> None:
    with pytest.raises(NotAdmitted, match=said):
        admitted(environ, unasked)


def test_another_account_than_the_named_is_left_alone() -> None:
    with pytest.raises(NotAdmitted, match=f"open account 999999999999, not {ID}: nothing was touched"):
        admitted(NAMED, identify({**CALLER, "Account": "999999999999"}))
    with pytest.raises(NotAdmitted, match="root user"):
        admitted(NAMED, identify({"Account": ID, "Arn": f"arn:aws:iam::{ID}:root"}))

    def broken(region: str) -> Mapping[str, Any]:
        raise OSError("no credentials")

    with pytest.raises(NotAdmitted, match="does not say whose these credentials are: no credentials"):
        admitted(NAMED, broken)


def test_the_suite_ends_before_it_collects_anything() -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BLASTWALL_TEST"))}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests_aws"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "nothing was tested: set BLASTWALL_TEST_ACCOUNT" in done.stdout + done.stderr
    assert "passed" not in done.stdout and "collected" not in done.stdout


@pytest.mark.parametrize("file", sorted(path.stem for path in (ROOT / "tests_aws").glob("test_*.py")))
def test_every_file_of_it_can_be_loaded_and_is_in_the_table(file: str) -> None:
    module = importlib.import_module(f"tests_aws.{file}")
    page = (ROOT / "docs" / "real-account.md").read_text()
    for name in (name for name in vars(module) if name.startswith("test_")):
        assert f"`{name}`" in page, f"docs/real-account.md does not say what {name} shows"


def test_an_ordinary_run_leaves_it_out() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "tests_aws" in makefile.partition("test-aws:")[2].partition("\n\n")[0]
    assert "tests_aws" not in makefile.partition("\ntest:")[2].partition("\n\n")[0]
