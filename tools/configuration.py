"""Keeps docs/configuration.md true: what may stand in the configuration's files, by the models that read them.

``python -m tools.configuration`` writes the page anew. Keys, values and defaults come from the models; the last column
is written by hand and kept, so a new key appears with an empty meaning, which the page's test refuses.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from blastwall import registry
from blastwall.config import credentials
from blastwall.config.cases import Case, Person
from blastwall.config.masking import ColumnRule, MaskingFile
from blastwall.config.model import Address, Config, Issuer, SamlProvider, TargetSection

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
HEADER = "| key | value | default | |\n|---|---|---|---|\n"
NOTHING = "none"


class Row(NamedTuple):
    """One key as the page shows it."""

    key: str
    value: str
    default: str


def sections() -> Mapping[str, tuple[type[BaseModel], str]]:
    """Marker in the page -> the model of its table, and how its keys begin."""
    kinds = (
        credentials.RoleCredential,
        credentials.IamCredential,
        credentials.StaticCredential,
        credentials.CertificateCredential,
        credentials.InstanceConnectCredential,
    )
    found: dict[str, tuple[type[BaseModel], str]] = {
        "gateway": (Config, ""),
        "issuer": (Issuer, "identity.issuers[]."),
        "saml": (SamlProvider, "identity.saml.NAME."),
        "target": (TargetSection, "targets.NAME."),
    }
    for kind in kinds:
        found[f"credential {kind.model_json_schema()['properties']['kind']['const']}"] = (kind, "credential.")
    for name in registry.names():
        found[f"target {name}"] = (registry.options(name), "options.")
        if (listener := registry.listener_options(name)) is not None:
            found[f"protocol {name}"] = (listener, f"protocols.{name}.")
    return found | {
        "aws role": (credentials.AwsRole, "aws_roles.NAME."),
        "masking": (MaskingFile, ""),
        "masking column": (ColumnRule, "targets.NAME.columns[]."),
        "case person": (Person, "people.NAME."),
        "case": (Case, "cases[]."),
    }


def rows(model: type[BaseModel], prefix: str) -> Iterator[Row]:
    """The keys of a model, those of nested sections after it, with dots; ``[]`` and ``NAME`` stand for what repeats."""
    schema = model.model_json_schema()
    apart = {one.__name__ for one, _ in sections().values()} - {model.__name__}
    yield from _rows(schema, schema.get("$defs", {}), prefix, apart)


def _rows(schema: Mapping[str, Any], defs: Mapping[str, Any], prefix: str, apart: set[str]) -> Iterator[Row]:
    required = set(schema.get("required", ()))
    for name, of in sorted(schema["properties"].items(), key=lambda one: one[0] != "kind"):
        key = ("" if prefix == "options." and name == "tls" else prefix) + name
        reference, key = _reference(of, key)
        optional = of.get("default", ...) is None
        if reference is not None and "enum" in defs[reference]:
            yield Row(key, _value(defs[reference]), _default(of, required=name in required))
        elif reference == Address.__name__:
            yield Row(key, "`HOST:PORT`", _default(of, required=name in required))
        elif reference is None or reference in apart:
            value = "a section, below" if reference else _value(of)
            yield Row(key, value, _default(of, required=name in required))
        else:
            if optional:
                yield Row(key, "a section", NOTHING)
            yield from _rows(defs[reference], defs, key + ".", apart)


def _reference(of: Mapping[str, Any], key: str) -> tuple[str | None, str]:
    """The section that a value is, or consists of, and the key as it is then written."""
    for part in (of, *of.get("anyOf", ())):
        if "$ref" in part:
            return part["$ref"].rpartition("/")[2], key
        if "$ref" in part.get("items", {}):
            return part["items"]["$ref"].rpartition("/")[2], key + "[]"
        if "$ref" in (more := _values(part)):
            return more["$ref"].rpartition("/")[2], key + (".PROTOCOL" if key == "listen" else ".NAME")
    return None, key


def _values(of: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the values of a mapping are; nothing is said of those that take any."""
    (more, *_) = [*of.get("patternProperties", {}).values(), of.get("additionalProperties")]
    return more if isinstance(more, dict) else {}


def _value(of: Mapping[str, Any]) -> str:
    if "anyOf" in of:
        return " or ".join(_value(part) for part in of["anyOf"] if part.get("type") != "null")
    if "const" in of:
        return f"`{of['const']}`"
    if "enum" in of:
        return ", ".join(f"`{one}`" for one in of["enum"])
    kind = of.get("type")
    if kind == "array":
        inner = _value(of["items"]) if "oneOf" not in of["items"] else "sections by `kind`, below"
        return f"a list: {inner}"
    if kind == "object":
        return "`NAME: text`" if _values(of).get("type") == "string" else "a section"
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + _range(of)
    if of.get("format") == "path":
        return "a path"
    return {"boolean": "`true`, `false`", "string": "text"}.get(str(kind), "any")


def _range(of: Mapping[str, Any]) -> str:
    least, above, most = of.get("minimum"), of.get("exclusiveMinimum"), of.get("maximum")
    told = [f"from {_number(least)}" if least is not None else f"above {_number(above)}" if above is not None else ""]
    told.append(f"to {_number(most)}" if most is not None else "")
    return " " + " ".join(filter(None, told)) if any(told) else ""


def _number(number: float) -> str:
    return f"{int(number):,}" if number == int(number) else str(number)


def _default(of: Mapping[str, Any], *, required: bool) -> str:
    if required:
        return "**required**"
    value = of.get("default")
    if value in (None, "", [], {}):
        return NOTHING
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, dict):  # an address
        return f"`{value['host']}:{value['port']}`"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def written(page: str) -> str:
    """The page with its tables made anew; meanings are kept by key. Raises ValueError for a section without a place."""
    for marker, (model, prefix) in sections().items():
        begin, end = f"<!-- {marker}: begin -->\n", f"<!-- {marker}: end -->"
        before, found, rest = page.partition(begin)
        old, ended, after = rest.partition(end)
        if not (found and ended):
            raise ValueError(f"docs/configuration.md has no place for {marker}: add {begin.strip()} and {end}")
        kept = meanings(old)
        lines = [
            f"| `{row.key}` | {row.value} | {row.default} | {kept.get(row.key, '')} |" for row in rows(model, prefix)
        ]
        page = before + begin + HEADER + "\n".join(lines) + "\n" + end + after
    return page


def meanings(table: str) -> Mapping[str, str]:
    """Key -> what the last column says of it."""
    return {found[1]: found[2] for found in re.finditer(r"^\| `([^`]+)` \|.*\| ([^|]*) \|$", table, re.MULTILINE)}


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
    sys.stdout.write(f"{PAGE} written\n")
