"""YAML with its lines, overrides with their origin, and nothing that surprises."""

from __future__ import annotations

import pytest

from blastwall.config.document import Document, Place, read_document
from blastwall.errors import ConfigFault

TEXT = """\
version: 1
targets:
  shop:
    host: db
    labels: {environment: demo,
             team: shop}
  bank:
    - a
    -
      b: 2
"""


def read(text: str = TEXT) -> Document:
    return read_document(text, "gateway.yaml")


def test_values_are_plain_and_every_path_has_its_line() -> None:
    document = read()
    assert document.value == {
        "version": 1,
        "targets": {
            "shop": {"host": "db", "labels": {"environment": "demo", "team": "shop"}},
            "bank": ["a", {"b": 2}],
        },
    }
    lines = {path: place.line for path, place in document.places.items()}
    assert lines[("targets", "shop")] == 3
    assert lines[("targets", "shop", "labels", "team")] == 6
    assert lines[("targets", "bank", 0)] == 8
    assert lines[("targets", "bank", 1, "b")] == 10


@pytest.mark.parametrize(
    ("location", "line"),
    [
        (("targets", "shop", "host"), 4),
        (("targets", "shop", "port"), 3),  # what is missing is missing there
        (("targets", "shop", "labels", "str", "team"), 6),  # a step that is not in the file is skipped
        (("nowhere",), 1),
        ((), 1),
    ],
)
def test_a_problem_is_placed_as_near_as_can_be(location: tuple[str, ...], line: int) -> None:
    problem = read().problem(location, "off")
    assert (problem.file, problem.line, problem.message) == ("gateway.yaml", line, "off")


def test_overrides_merge_into_mappings_and_replace_the_rest() -> None:
    document = read()
    document.override({"targets": {"shop": {"host": "127.0.0.1", "labels": {"team": "x"}}, "bank": {"c": 3}}}, "rig")
    assert document.value["targets"] == {
        "shop": {"host": "127.0.0.1", "labels": {"environment": "demo", "team": "x"}},
        "bank": {"c": 3},
    }
    assert document.places[("targets", "shop", "host")] == Place("rig", 0)
    assert document.places[("targets", "shop", "labels", "environment")] == Place("gateway.yaml", 5)
    assert document.problem(("targets", "bank", "c"), "x").file == "rig"


def test_overrides_leave_what_they_do_not_name() -> None:
    document = read()
    document.override({}, "rig")
    assert document.value == read().value
    assert document.places == read().places


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("a: 1\nb: [", 2, "not valid YAML"),
        ("a: 1\n\tb: 2", 2, "not valid YAML"),
        ("a: 1\nb: 2\na: 3", 3, "'a' is given twice"),
        ("a:\n  b: 1\n  b: 2", 3, "'b' is given twice"),
        ("? [1, 2]\n: x", 1, "a key must be plain text"),
        ("a: !!python/object:os.system x", 1, "not valid YAML"),
        ("a: 1\n---\nb: 2", 2, "not valid YAML"),
        ("a: 1\nb: \x07", 2, "not valid YAML: the character U+0007 does not belong"),
        ("x" * (1024 * 1024 + 1), 0, "larger than"),
        ("a: &a [*a]", 0, "nested too deeply"),
        ("[" * 5000, 0, "nested too deeply"),
        (
            "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(6)),
            0,
            "too many values",
        ),
    ],
    ids=[
        "open",
        "tab",
        "twice",
        "twice-inside",
        "key",
        "tag",
        "two-documents",
        "bell",
        "large",
        "self",
        "deep",
        "laughs",
    ],
)
def test_what_is_not_plain_yaml_is_refused_at_its_line(text: str, line: int, expected: str) -> None:
    with pytest.raises(ConfigFault) as caught:
        read(text)
    (problem,) = caught.value.problems
    assert expected in problem.message
    assert (problem.file, problem.line) == ("gateway.yaml", line)


def test_an_empty_file_is_an_empty_document() -> None:
    assert read("# nothing\n").value is None
