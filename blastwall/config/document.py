"""YAML that remembers its lines: every value's path to the file and line it came from, overrides included. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from blastwall.errors import ConfigFault, Problem

MOST_NODES = 100_000  # values in one file; aliases count each time they are used
DEEPEST = 64
LARGEST = 1024 * 1024  # characters

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands. ``line`` counts from 1; 0: the file as a whole."""

    file: str
    line: int


@dataclass(slots=True)
class Document:
    """Plain values (dict, list, str, int, float, bool, None) and the place of every path in them; keys are text."""

    file: str
    value: Any = None
    places: dict[Path, Place] = field(default_factory=dict)

    def problem(self, location: tuple[str | int, ...], message: str) -> Problem:
        """A problem at ``location``, or at the nearest place around it; steps that are not in the file are skipped."""
        path: Path = ()
        for step in location:
            if (*path, step) in self.places:
                path = (*path, step)
        place = self.places.get(path, Place(self.file, 0))
        inside = {other.file for known, other in self.places.items() if known[: len(path)] == path} - {place.file}
        merged = f" (merged with {', '.join(sorted(inside))})" if inside else ""
        return Problem(place.file, place.line, message + merged)

    def override(self, values: Mapping[str, Any], origin: str) -> None:
        """Merge ``values`` in: mappings into mappings, anything else replaces. ``origin`` is named in problems."""
        self.value = self._merged(self.value, values, (), Place(origin, 0))

    def _merged(self, old: object, new: object, path: Path, origin: Place) -> object:
        if isinstance(new, Mapping) and isinstance(old, dict):
            return old | {key: self._merged(old.get(key), value, (*path, key), origin) for key, value in new.items()}
        for known in [known for known in self.places if known[: len(path)] == path]:
            del self.places[known]
        self.places[path] = origin
        return new


def read_document(text: str, file: str) -> Document:
    """Read one YAML document. Raises ConfigFault when it is not YAML, too large, too deep, or names a key twice."""
    if len(text) > LARGEST:
        raise ConfigFault((Problem(file, 0, f"larger than {LARGEST} characters"),))
    document = Document(file)
    try:
        loader = yaml.SafeLoader(text)
        reading = _Reading(loader, document)
        root = loader.get_single_node()
        document.value = None if root is None else reading.read(root, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = error.problem or error.context or "unreadable"
        raise ConfigFault((Problem(file, mark.line + 1 if mark else 0, f"not valid YAML: {words}"),)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = ord(text[error.position])
        message = f"not valid YAML: the character U+{code:04X} does not belong into a text file; remove it"
        raise ConfigFault((Problem(file, line, message),)) from None
    except yaml.YAMLError as error:
        raise ConfigFault((Problem(file, 0, f"not valid YAML: {error}"),)) from None
    except RecursionError:
        raise ConfigFault((Problem(file, 0, "nested too deeply"),)) from None
    if reading.problems:
        raise ConfigFault(tuple(reading.problems))
    return document


class _Reading:
    def __init__(self, loader: yaml.SafeLoader, document: Document) -> None:
        self.problems: list[Problem] = []
        self._loader = loader
        self._document = document
        self._nodes = 0

    def read(self, node: yaml.Node, path: Path) -> object:
        self._nodes += 1
        if self._nodes > MOST_NODES or len(path) > DEEPEST:
            raise ConfigFault((Problem(self._document.file, 0, "too many values, or nested too deeply"),))
        self._document.places.setdefault(path, Place(self._document.file, node.start_mark.line + 1))
        if isinstance(node, yaml.MappingNode):
            return dict(self._entries(node, path))
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, number)) for number, item in enumerate(node.value)]
        return self._loader.construct_object(node)

    def _entries(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, object]]:
        seen: set[str] = set()
        for key_node, value_node in node.value:
            place = Place(self._document.file, key_node.start_mark.line + 1)
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(place.file, place.line, "a key must be plain text"))
                continue
            if key in seen:
                self.problems.append(Problem(place.file, place.line, f"{key!r} is given twice; keep one"))
                continue
            seen.add(key)
            self._document.places[(*path, key)] = place
            yield key, self.read(value_node, (*path, key))
