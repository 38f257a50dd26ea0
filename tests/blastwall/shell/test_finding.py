"""What find has others read, run by find itself among secrets, links and names that are two words."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from blastwall.model import Effect
from blastwall.shell.facts import Bounds, judge

SECRETS = ("src/.env", "src/key.pem", "src/.ssh/config", "src/deep/.aws/x", "other/credentials")
PLAIN = ("src/a.py", "src/deep/b.py", "src/two words.py", "src/line\nbreak.py", "src/-n.py", "other/c.py")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in (*SECRETS, *PLAIN):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("planted-secret\n" if name in SECRETS else f"plain {file.name[-4:]}\n")
    (tmp_path / "src" / "link.py").symlink_to(".env")
    (tmp_path / "src" / "way").symlink_to("../other")
    (tmp_path / "src" / "x .env").mkdir()  # "./src/x .env/y.py" read as two words names a secret
    (tmp_path / "src" / "x .env" / "y.py").write_text("plain y.py\n")
    (tmp_path / ".env").write_text("planted-secret\n")
    return tmp_path


def run(home: Path, text: str) -> subprocess.CompletedProcess[str]:
    judged = judge(text, Bounds())
    assert judged.facts.effect is Effect.READ, judged.facts.reason
    return subprocess.run(
        ["/bin/sh", "-c", judged.text],
        cwd=home,
        env={"PATH": os.defpath, "HOME": str(home), "LC_ALL": "C"},
        capture_output=True,
        check=False,
        text=True,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    "text",
    [
        "find src -name '*.py' -exec cat {} \\;",
        "find src -name '*.py' -exec cat {} +",
        "find src -type f -exec cat {} +",
        "find src -exec cat {} +",
        "find src -exec head -n 1 {} ';' -o -exec cat {} +",
        "find src -depth -exec cat {} \\;",
        "find src -name nothing -o -exec cat {} +",
        "find src -exec grep -rh . {} +",
        "find src | xargs cat",
        "find src -type f -print0 | xargs -0 cat",
        "find src -name '*.py' -print | xargs -n 1 cat",
        "find src -name nothing -o -name '*' | xargs cat",
        "find src | xargs -I{} cat {}",
        "cd src && find . -type f | xargs cat",
        "find ~/src -maxdepth 3 -type f | xargs -r cat",
    ],
)
def test_secrets_and_links_are_passed_over(home: Path, text: str) -> None:
    done = run(home, text)
    assert "planted-secret" not in done.stdout + done.stderr
    assert {"plain a.py", "plain b.py", "plain s.py", "plain k.py", "plain y.py"} <= set(done.stdout.splitlines())


@pytest.mark.parametrize(
    "text",
    [
        "find src -exec rm {} \\;",
        "find src -exec sh -c x {} \\;",
        "find src -exec cat {}/.env \\;",
        "find src -exec cat {}/../x \\;",
        "find src -name a ')' , '(' -exec cat {} +",
        "find src -name a ')' , '(' -name b | xargs cat",
        "find src '(' -exec cat {} +",
        "find src -execdir cat {} \\;",
        "find src -exec uniq {} +",
        "find src -exec git show {} \\;",
        "find src -exec find {} -delete \\;",
        "find src -exec cat {}",
        "find src -exec \\;",
        "find -L src -exec cat {} +",
        "find src -follow -exec cat {} +",
        "find . -exec cat {} +",
        "find /etc -exec cat {} +",
        "find src -exec cat .env {} \\;",
        "find src | xargs rm",
        "find src | xargs sh -c x",
        "find src | xargs -I{} cat {}/.env",
        "find src | xargs -I% cat %",
        "find src | xargs -a x cat",
        "find src | xargs uniq",
        "find src | xargs",
        "find src -ls | xargs cat",
        "find src -printf x | xargs cat",
        "find src -print -o -name x | xargs cat",
        "find -L src | xargs cat",
        "find src | sort | xargs cat",
        "find src >x | xargs cat",
        "find src | xargs cat <x",
        "ls | xargs cat",
        "xargs cat",
    ],
)
def test_what_may_do_more_is_no_read(text: str) -> None:
    assert judge(text, Bounds()).facts.effect is not Effect.READ


def test_a_test_that_looks_like_an_action_is_one(home: Path) -> None:
    assert judge("find src -name -exec -exec rm x \\;", Bounds()).facts.effect is not Effect.READ
    told = run(home, "find src -name -exec -exec head {} + -o -name a.py -exec cat {} \\;")
    assert told.stdout == "plain a.py\n"
