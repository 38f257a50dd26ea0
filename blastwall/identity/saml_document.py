"""Bytes of a SAML response to a tree in which nothing stands that ``saml.toml`` does not name. Pure.

Most attacks on SAML are disagreements: between two parsers, between what was signed and what is read, between a schema
and who ignores it. So there is one parser, what it gets is bounded and plain before it sees it (UTF-8, no document
type, no comment, no CDATA, no processing instruction), and every element has one place it may stand in.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

from lxml import etree

from blastwall.errors import TokenFault

Element = Any  # an element of lxml's, which has no types

MAX_DOCUMENT: Final = 48 * 1024  # bytes: what fits a form of 64 KiB in base64; usual ones have under 10 KiB
MAX_ID: Final = 256  # characters

RULES: Final[Mapping[str, Any]] = MappingProxyType(
    tomllib.loads(resources.files("blastwall.identity").joinpath("saml.toml").read_text(encoding="utf-8"))
)
NAMESPACES: Final[Mapping[str, str]] = MappingProxyType(RULES["namespaces"])
_PREFIXES: Final = {uri: prefix for prefix, uri in NAMESPACES.items()}

_NAME: Final = re.compile(r"[a-z]+:[A-Za-z0-9]+")
_DECLARATION: Final = re.compile(r"\A\ufeff?<\?xml[ \t\r\n][^?<>]*\?>")
_ENCODING: Final = re.compile(r"encoding[ \t\r\n]*=[ \t\r\n]*[\"']([A-Za-z0-9._-]*)[\"']")
_NCNAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*")  # of ASCII: what every producer makes

_ASK: Final = "ask your identity provider's administrator"


@dataclass(frozen=True, slots=True)
class _Rule:
    text: bool
    holds: re.Pattern[str]
    must: frozenset[str]
    may: frozenset[str]


@cache
def _rules() -> Mapping[str, _Rule]:
    return {name: _rule(row) for name, row in RULES["elements"].items()}


def _rule(row: Mapping[str, Any]) -> _Rule:
    text = row["holds"] == "text"
    model = "" if text else _NAME.sub(lambda name: f"(?:{name[0]};)", row["holds"]).replace(" ", "")
    return _Rule(text, re.compile(model), frozenset(row.get("must", ())), frozenset(row.get("may", ())))


def read_response(document: bytes) -> Element:
    """The tree of a SAML response: its root, an element of lxml's. Nothing of it is verified, only its form.

    Raises TokenFault when it is larger than 48 KiB, not plain well-formed XML in UTF-8, or holds anything that
    ``saml.toml`` does not name in that place.
    """
    if len(document) > MAX_DOCUMENT:
        raise TokenFault(f"the SAML response is larger than {MAX_DOCUMENT} bytes; {_ASK} to send fewer attributes")
    root = parse(document)
    for element in root.iter():
        if isinstance(element.tag, str) and element.tag.rpartition("}")[2].startswith("Encrypted"):
            raise TokenFault(
                f"the SAML response is encrypted; {_ASK} to sign assertions for the gateway, not encrypt them"
            )
    if name_of(root) != "samlp:Response":
        raise TokenFault("this is no SAML 2.0 response; start again with `blastwall login`")
    check(root)
    return root


def parse(document: bytes) -> Element:
    """Well-formed XML without anything that readers could see differently. Raises TokenFault."""
    try:
        text = document.decode("utf-8")
    except UnicodeDecodeError:
        raise TokenFault(f"the SAML response is not UTF-8; {_ASK}") from None
    declaration = _DECLARATION.match(text)
    if declaration is not None:
        encoding = _ENCODING.search(declaration[0])
        if encoding is not None and encoding[1].lower() not in ("utf-8", "utf8", "us-ascii"):
            raise TokenFault(f"the SAML response is not UTF-8; {_ASK}")
        text = text[declaration.end() :]
    # In well-formed XML these two stand nowhere else: no text and no attribute can hold a bare "<".
    if "<!" in text or "<?" in text:
        raise TokenFault(
            "the SAML response holds a document type, a comment, CDATA or a processing instruction; none is accepted, "
            f"{_ASK} to send assertions without them"
        )
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, dtd_validation=False, no_network=True, huge_tree=False, recover=False
    )
    try:
        return etree.fromstring(text.removeprefix("\ufeff").encode("utf-8"), parser)
    except (etree.XMLSyntaxError, ValueError):
        raise TokenFault(
            f"the SAML response is not well-formed XML; start again, and if that does not help {_ASK}"
        ) from None


def check(root: Element) -> None:
    """Every element where the table has it, each ID once. Raises TokenFault."""
    seen: set[str] = set()
    todo = [root]
    while todo:
        element = todo.pop()
        _check_element(element)
        id = element.get("ID")
        if id is not None and (len(id) > MAX_ID or not _NCNAME.fullmatch(id)):
            raise TokenFault(f"the SAML response has an ID that is not a name of ASCII letters; {_ASK}")
        if id in seen:
            raise TokenFault("the SAML response has two elements with the same ID: somebody may have rearranged it")
        if id is not None:
            seen.add(id)
        todo.extend(element)


def _check_element(element: Element) -> None:
    name = name_of(element)
    rule = _rules().get(name)
    if rule is None:
        raise TokenFault(f"the SAML response holds {_shown(name)}, which is not read here; {_ASK} to leave it out")
    for uri in element.nsmap.values():
        if ":" not in uri or any(character.isspace() for character in uri):
            # canonicalization is not defined for relative names, and what libraries make of them differs
            raise TokenFault(f"the SAML response has a namespace that is not absolute; {_ASK}")
    given = {_named(attribute) for attribute in element.attrib}
    if not rule.must <= given:
        missing = ", ".join(sorted(rule.must - given))
        raise TokenFault(f"the SAML response's {name} lacks {missing}; {_ASK}")
    if not given <= rule.must | rule.may:
        extra = _shown(f"{', '.join(sorted(given - rule.must - rule.may)):.80}")
        raise TokenFault(f"the SAML response's {name} has attributes that are not read here ({extra}); {_ASK}")
    children = "".join(f"{name_of(child)};" for child in element)
    if not rule.holds.fullmatch(children):
        raise TokenFault(
            f"the SAML response's {name} does not hold what it should, in the schema's order; {_ASK} "
            "for one assertion in its plain form"
        )
    if not rule.text and any(text.strip(" \t\r\n") for text in _texts(element)):
        raise TokenFault(f"the SAML response's {name} holds loose text; {_ASK}")


def _texts(element: Element) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        yield child.tail or ""


def name_of(element: Element) -> str:
    """``saml:NameID``, by the table's prefixes; what is of no namespace of the table keeps its whole name."""
    return _named(element.tag) if isinstance(element.tag, str) else "something that is no element"


def _named(tag: str) -> str:
    uri, brace, local = tag.removeprefix("{").rpartition("}")
    if not brace:
        return tag
    return f"{_PREFIXES[uri]}:{local}" if uri in _PREFIXES else _shown(f"{{{uri:.60}}}{local:.60}")


def _shown(text: str) -> str:
    """What a stranger wrote, fit for a message."""
    return text.encode("ascii", "backslashreplace").decode("ascii")


def child(element: Element, name: str) -> Element:
    """The one child of this name, or None."""
    found = children(element, name)
    return found[0] if found else None


def children(element: Element, name: str) -> list[Element]:
    """The children of this name, in their order."""
    return [one for one in element if name_of(one) == name]


def text_of(element: Element) -> str:
    """The text of an element that holds text alone, as it stands there."""
    return element.text or ""
