"""The Makefile's targets and the command's verbs are what the README says they are."""

from __future__ import annotations

import os
import re
import subprocess

from cli.__main__ import VERBS
from tests.architecture.tree import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
README = (ROOT / "README.md").read_text()
TARGETS = re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)


def test_every_make_target_is_in_the_readme_and_in_the_help() -> None:
    assert {"setup", "demo", "test", "up", "check", "synth", "deploy", "bench", "clean"} <= set(TARGETS)
    shown = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in TARGETS:
        assert f"make {target}" in README, f"README.md does not mention make {target}"
        if target != "help":
            assert re.search(rf"^  make {target} +\S", shown, re.MULTILINE), f"make {target} explains nothing"


def test_targets_are_phony_and_set_up_what_they_need() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony and set(phony[1].split()) == set(TARGETS)
    for target in set(TARGETS) - {"help", "setup", "clean"}:
        assert re.search(rf"^{target}: (.* )?setup\b", MAKEFILE, re.MULTILINE), (
            f"make {target} does not depend on setup"
        )


def test_the_readme_names_only_targets_and_verbs_that_exist() -> None:
    assert set(re.findall(r"`make ([a-z-]+)`|^ *make ([a-z-]+)", README, re.MULTILINE)) <= {
        pair for target in TARGETS for pair in ((target, ""), ("", target))
    }
    assert set(re.findall(r"\bblastwall (?:--\S+ \S+ )?([a-z]+)\b(?= |`|$)", "\n".join(code_of(README)))) <= set(VERBS)


def code_of(markdown: str) -> list[str]:
    """Code spans and blocks: prose may say "Blastwall is"."""
    return re.findall(r"```.*?```|`[^`\n]+`", markdown, re.DOTALL)


def test_the_submission_check_runs_what_people_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    text = script.read_text()
    assert re.search(r"^make check test$", text, re.MULTILINE)
    assert text.index("make check test") < text.index("make demo")
