"""The doctor's report and exit code."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from blastwall.findings import Finding, Verdict
from cli import __main__ as cli
from cli.doctor import table

CONFIG = Path(__file__).parents[2] / "config"


def test_what_fails_makes_the_exit_code_and_warnings_do_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fine = ["doctor", "--state", str(tmp_path / "none"), "--json", "--config"]
    code = cli.run([*fine, str(CONFIG)])
    findings = {finding["check"]: finding for finding in map(json.loads, capsys.readouterr().out.splitlines())}
    taken = findings.pop("port for postgres")["verdict"] == "fail"  # somebody's gateway may run on this machine
    assert {finding["verdict"] for finding in findings.values()} == {"ok", "warn"}
    assert code == (1 if taken else 0)
    same = ["doctor", "--state", str(tmp_path / "none"), "--format", "json", "--config", str(CONFIG)]
    assert cli.run(same) == code
    same_checks = {json.loads(line)["check"] for line in capsys.readouterr().out.splitlines()}
    assert same_checks == {*findings, "port for postgres"}
    assert cli.run([*fine, str(tmp_path)]) == 1
    broken = map(json.loads, capsys.readouterr().out.splitlines())
    assert any(finding["verdict"] == "fail" and finding["advice"] for finding in broken)


def test_the_table_shows_text_as_it_is() -> None:
    output = io.StringIO()
    finding = Finding("state", Verdict.FAIL, "[bold]x[/bold] [/nonsense]", "Run: chmod")
    Console(file=output, width=120).print(table([finding]))
    assert "[bold]x[/bold] [/nonsense]" in output.getvalue()
    assert "Run: chmod" in output.getvalue()
