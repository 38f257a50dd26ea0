"""The threat model names a test for each attack, and every document's tests are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODEL = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
ATTACKS, _, OPEN = MODEL.partition("## What does not hold")
ROWS = [line for line in ATTACKS.splitlines() if line.startswith("| ") and line.count(" | ") == 2]
HEADER = "| attack | what stands against it | where it is tried |"
NAMED = re.compile(r"`(tests/[^`\s]+|config/[^`\s]+)`")


def test_each_attack_has_an_answer_and_a_test() -> None:
    attacks = [row for row in ROWS if row != HEADER]
    assert len(attacks) >= 45
    wrong = [
        row for row in attacks if not all(cell.strip() for cell in row.strip("|").split("|")) or not NAMED.search(row)
    ]
    assert not wrong, "\n".join(wrong)
    assert len([row for row in OPEN.splitlines() if row.startswith("| ") and row != "| | what to do about it |"]) >= 10


@pytest.mark.parametrize("document", sorted((ROOT / "docs").rglob("*.md")), ids=lambda path: path.name)
def test_what_it_names_is_there(document: Path) -> None:
    missing = [
        name
        for name in NAMED.findall(document.read_text("utf-8"))
        if name[0] == "t" and not list(ROOT.glob(name.rstrip("/")))
    ]
    assert not missing, missing


@pytest.mark.parametrize(
    "document", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda path: path.name
)
def test_its_links_lead_somewhere(document: Path) -> None:
    """To a file, and where they name a heading, to one of that file."""
    for place, _, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)(#?)([^)\s]*)\)", document.read_text("utf-8")):
        file = (document.parent / place) if place else document
        assert file.exists(), place
        if heading:
            headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}
            assert heading in slugs, f"{place}#{heading}"
