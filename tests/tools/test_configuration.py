"""docs/configuration.md names every key of the configuration, with the values and defaults of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from blastwall.policy.check import ANNOTATIONS, SCHEMA
from tools.configuration import PAGE, meanings, rows, sections, written

ROOT = Path(__file__).parents[2]
TEXT = PAGE.read_text("utf-8")


def test_the_page_is_what_the_models_say() -> None:
    assert written(TEXT) == TEXT, "run: python -m tools.configuration"


def test_every_key_has_a_meaning() -> None:
    for marker in sections():
        table = TEXT.partition(f"<!-- {marker}: begin -->")[2].partition(f"<!-- {marker}: end -->")[0]
        said = meanings(table)
        assert said and not [key for key, meaning in said.items() if not meaning.strip()], marker


def test_a_key_that_is_new_or_changed_shows() -> None:
    without = "".join(line for line in TEXT.splitlines(keepends=True) if "`targets.NAME.hold_seconds`" not in line)
    assert without != TEXT != written(without), "its meaning is to be written"
    assert written(TEXT.replace("| a number from 0 to 3,600 | 60 |", "| a number from 0 to 3,600 | 61 |")) == TEXT
    with pytest.raises(ValueError, match="no place for saml"):
        written(TEXT.replace("<!-- saml: begin -->", ""))


def test_nested_optional_and_repeated_keys_are_found() -> None:
    found = {row.key: row for model, prefix in sections().values() for row in rows(model, prefix)}
    assert found["approvals.notify.slack.people.NAME.groups"].default == "**required**"
    assert found["approvals.notify.slack"].default == "none"
    assert found["listen.PROTOCOL"].value == "`HOST:PORT`"
    assert found["targets.NAME.durability"] == ("targets.NAME.durability", "`kernel`, `power_loss`", "`kernel`")
    assert found["tls.mode"].default == "`verify-full`"
    assert found["aws_roles.NAME.allow[].actions"].value == "a list: text"


def test_actions_and_annotations_are_all_there() -> None:
    actions = {name for line in re.findall(r"^action ([^{\n]*?)(?: in | appliesTo|;)", SCHEMA, re.MULTILINE) for name in line.replace('"', "").split(", ")}  # fmt: skip
    assert len(actions) == 14
    shown = TEXT.partition("## Policies")[2]
    assert not [name for name in actions - {"statement"} if f"`{name}`" not in shown]
    assert not [name for name in ANNOTATIONS if not re.search(rf"^\| `@{name}\b", shown, re.MULTILINE)]


def test_variables_of_the_command_line_are_all_there() -> None:
    used = {
        name for file in (ROOT / "cli").glob("*.py") for name in re.findall(r"BLASTWALL_[A-Z_]*[A-Z]", file.read_text())
    }
    shown = set(re.findall(r"`(BLASTWALL_[A-Z_]+)`", TEXT))
    assert len(used) >= 10 and used == shown
