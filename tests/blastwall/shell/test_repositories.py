"""git as facts see it, against git itself: a repository whose configuration runs programs, and that holds secrets."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from blastwall.model import Effect
from blastwall.shell.facts import Bounds, judge

RUNS = (
    "core.fsmonitor",
    "core.pager",
    "pager.log",
    "diff.external",
    "gpg.program",
    "diff.x.textconv",
    "diff.x.command",
)
SECRETS = (".env", "sub/x.pem", ".ssh/id_rsa", "sub/.env")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in (*SECRETS, "a.py", "sub/b.py"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("planted-secret\n" if name in SECRETS else "plain one\n")
    git(tmp_path, "init", "-q", "-b", "main", ".")
    git(tmp_path, "add", "-A", "-f")
    git(tmp_path, "commit", "-qm", "one")
    for name in (*SECRETS, "a.py", "sub/b.py"):
        (tmp_path / name).write_text("planted-secret again\n" if name in SECRETS else "plain two\n")
    git(tmp_path, "commit", "-qam", "two")
    for name in (*SECRETS, "a.py", "sub/b.py"):
        (tmp_path / name).write_text("planted-secret last\n" if name in SECRETS else "plain three\n")
    for key in RUNS:
        git(tmp_path, "config", key, f"sh -c 'echo {key} >>{tmp_path}/ran'")
    git(tmp_path, "config", "log.showSignature", "true")
    (tmp_path / ".gitattributes").write_text("* diff=x\n")
    hook = tmp_path / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\necho hook >>{tmp_path}/ran\n")
    hook.chmod(0o755)
    return tmp_path


def git(where: Path, *words: str) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(where), "GIT_CONFIG_NOSYSTEM": "1"}
    environment |= {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(["git", *words], cwd=where, env=environment, capture_output=True, check=True, text=True)
    return done.stdout.strip()


def run(where: Path, text: str) -> subprocess.CompletedProcess[str]:
    judged = judge(text, Bounds())
    assert judged.facts.effect is Effect.READ, judged.facts.reason
    environment = {"PATH": os.environ["PATH"], "HOME": str(where), "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(
        ["/bin/sh", "-c", judged.text], cwd=where, env=environment, capture_output=True, check=False, text=True
    )


@pytest.mark.parametrize(
    ("text", "shows"),
    [
        ("git status", "a.py"),
        ("git log", "two"),
        ("git log -p -1", "+plain two"),
        ("git log -U1 --oneline", "+plain two"),
        ("git diff", "+plain three"),
        ("git diff HEAD~1 HEAD", "+plain two"),
        ("git diff HEAD~1..HEAD --stat", "a.py"),
        ("git diff a.py", "+plain three"),
        ("git diff -- sub", "+plain three"),
        ("git show", "+plain two"),
        ("git show HEAD~1 --format=%s", "one"),
        ("git grep -n plain", "a.py:1:plain three"),
        ("git ls-files", "sub/b.py"),
        ("git branch --show-current", "main"),
        ("git rev-parse --abbrev-ref HEAD", "main"),
        ("git shortlog -sn HEAD", "2"),
        ("git -C sub log -p", "+plain two"),
        ("cd sub && git diff && git status --short && git show", "+plain two"),
        ("cd sub && git grep plain", "b.py"),
        ("git -C ~/sub diff", "+plain three"),
    ],
)
def test_it_shows_what_is_asked_for_and_runs_nothing(repository: Path, text: str, shows: str) -> None:
    before = (repository / ".git" / "index").read_bytes()
    done = run(repository, text)
    assert shows in done.stdout, done.stderr
    assert "planted-secret" not in done.stdout + done.stderr
    assert not (repository / "ran").exists()
    assert (repository / ".git" / "index").read_bytes() == before


def test_no_file_is_shown_by_its_objects_name(repository: Path) -> None:
    blob = git(repository, "rev-parse", "HEAD:.env")
    for text in (f"git show {blob}", f"git show {blob[:7]}", f"git diff {blob}", f"git show --pretty {blob}"):
        done = run(repository, text)
        assert done.returncode and "planted-secret" not in done.stdout, text


@pytest.mark.parametrize(
    "text",
    [
        "git show HEAD:.env",
        "git show :0:a",
        "git diff .env",
        "git show HEAD -- .env",
        "git diff -- ':!a' ':(top).env'",
        "git log --format=%G?",
        "git log --output=x",
        "git diff --ext-diff",
        "git log --show-signature",
        "git grep -O x y",
        "git -c core.pager=x log",
        "git --git-dir=x status",
        "git --exec-path=x status",
        "git branch new",
        "git tag new",
        "git stash",
        "git remote add a b",
        "git commit -m x",
        "git checkout .",
        "git config --list",
        "git fetch",
        "git",
    ],
)
def test_what_does_or_shows_more_is_no_read(text: str) -> None:
    assert judge(text, Bounds()).facts.effect is not Effect.READ


@pytest.mark.parametrize("text", ["touch a/.git", "cp x a/HEAD", "mv x a/.git/hooks", "echo x >> .git/config"])
def test_what_git_would_run_is_written_by_nobody(text: str) -> None:
    assert "startup_path" in judge(text, Bounds()).facts.flags
