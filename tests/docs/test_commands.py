"""Every ``blastwall ...`` that a document, a message or a hint names is there, with the options that are given to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli.__main__ import VERBS, blastwall

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = [
    path
    for folder in ("blastwall", "cli", "config", "demo", "fargate_proxy", "lambdas", "rig", "stacks")
    for suffix in ("*.py", "*.toml", "*.yaml", "*.cedar")
    for path in sorted((ROOT / folder).rglob(suffix))
]
#: In documents a command also stands by itself; in sources, where sentences speak of it, between backquotes.
WRITTEN = re.compile(r"(?<![\w/.-])blastwall ([a-z]+\b[^`|#\n)]*)")
QUOTED = re.compile(r"`blastwall ([a-z]+\b[^`|#\n)]*)`")


def commands(path: Path, pattern: re.Pattern[str]) -> Iterator[list[str]]:
    for found in pattern.finditer(path.read_text("utf-8")):
        words = found[1].split()
        if words[0] in VERBS or pattern is QUOTED:
            yield words[: words.index("--")] if "--" in words else words


def problem(words: list[str]) -> str:
    """What the command line does not know of these words; "" when it knows them all."""
    context = click.Context(blastwall)
    command: click.Command = blastwall
    rest = words
    while isinstance(command, click.Group) and rest and not rest[0].startswith(("-", "{")):
        names = rest[0].strip(".,:;").split("|")  # `sessions|agents`
        found = [command.get_command(context, name) for name in names]
        if None in found:
            return f"no {rest[0]!r}"
        command, rest = found[0] or command, rest[1:]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in rest if word.startswith("--") and word.split("=")[0].strip(".,:;]") not in known]
    return f"no {', '.join(unknown)}" if unknown else ""


@pytest.mark.parametrize(("paths", "pattern", "least"), [(DOCUMENTS, WRITTEN, 70), (SOURCES, QUOTED, 30)])
def test_what_is_named_is_there(paths: list[Path], pattern: re.Pattern[str], least: int) -> None:
    named = [(path.relative_to(ROOT), words) for path in paths for words in commands(path, pattern)]
    wrong = [f"{path}: blastwall {' '.join(words)}: {why}" for path, words in named if (why := problem(words))]
    assert not wrong, "\n".join(wrong)
    assert len(named) >= least, "the patterns find too little to prove anything"


@pytest.mark.parametrize("words", [["recordings", "show"], ["recordings", "ls", "--everything"], ["nothing"]])
def test_what_is_not_there_is_found(words: list[str]) -> None:
    assert problem(words).startswith("no ")
