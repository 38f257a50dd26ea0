import json
import os
import subprocess
import sys
from pathlib import Path

from stacks.synthesis import BUNDLING, committed, context

ROOT = Path(__file__).parents[2]


def test_the_committed_flags_are_used_wherever_it_runs() -> None:
    flags = committed(ROOT)
    assert flags["@aws-cdk/core:defaultCrossStackReferences"] == "strong"
    assert sum(key.startswith("@aws-cdk/") for key in flags) > 50
    assert {**context(ROOT, {}), BUNDLING: None}.items() >= flags.items()


def test_only_the_cdks_command_line_fetches_dependencies() -> None:
    assert context(ROOT, {})[BUNDLING] == []
    assert BUNDLING not in context(ROOT, {"CDK_CLI_VERSION": "2.1148.1"})


def test_a_mistake_is_told_without_a_traceback(tmp_path: Path) -> None:
    given = json.dumps({"topology": "huge"})
    environ = {**os.environ, "CDK_CONTEXT_JSON": given, "CDK_OUTDIR": str(tmp_path), "AWS_PROFILE": "nobody"}
    done = subprocess.run([sys.executable, "app.py"], cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 1
    assert "nothing was synthesized:\ncdk context topology: choose one of dev, nat, isolated" in done.stderr
    assert "Traceback" not in done.stderr


def test_choices_that_would_not_be_heard_are_refused(tmp_path: Path) -> None:
    environ = {**os.environ, "CDK_OUTDIR": str(tmp_path)}
    command = [sys.executable, "app.py", "-c", "topology=dev"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "takes no arguments" in done.stderr
    assert not list(tmp_path.iterdir())
