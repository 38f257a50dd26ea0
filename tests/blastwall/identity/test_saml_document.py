"""What never reaches a signature: other encodings, document types, comments, strange elements; and mutations of the rest."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from blastwall.errors import TokenFault
from blastwall.identity.saml_document import MAX_DOCUMENT, RULES, read_response
from tests.blastwall.identity import saml_forge as forge
from tests.blastwall.identity.saml_forge import NS, good, idp, read, rearranged

XXE = '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
LAUGHS = '<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'


@cache
def plain() -> str:
    return good()


@pytest.mark.parametrize(
    "document",
    [
        XXE + plain().replace("ada@corp.example", "&x;"),
        LAUGHS + plain().replace("ada@corp.example", "&c;"),
        '<!DOCTYPE r SYSTEM "https://evil.example/r.dtd">' + plain(),
        "<!DOCTYPE r>" + plain(),
        '<?xml version="1.0"?><!DOCTYPE r []>' + plain(),
        "<!-- -->" + plain(),
        plain() + "<!-- -->",
        "<?php ?>" + plain(),
        plain().replace("</saml:NameID>", "<?x ?></saml:NameID>"),
    ],
    ids=["xxe", "laughs", "external-dtd", "doctype", "declared", "comment", "after", "instruction", "inside"],
)
def test_nothing_but_elements_and_text_is_parsed(document: str) -> None:
    with pytest.raises(TokenFault, match="document type, a comment, CDATA"):
        read(document)


@pytest.mark.parametrize(
    "name",
    [
        "root@corp.example<!---->.evil.example",
        "root<!-- -->@corp.example",
        "<![CDATA[root@corp.example]]>",
        "<!-- root -->ada@corp.example",
        "root@corp.example<?x?>.evil.example",
    ],
)
def test_a_comment_in_a_name_is_refused_whether_or_not_it_was_signed(name: str) -> None:
    """TOK-030: canonical XML drops comments, so a signature lives through one that is put in afterwards."""
    with pytest.raises(TokenFault, match="a comment, CDATA"):
        read(plain().replace("ada@corp.example", name))
    if "CDATA" not in name:  # which the forge's own parser makes plain text of
        with pytest.raises(TokenFault, match="a comment, CDATA"):
            read(good(subject=name))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-7", "utf-32", "utf-8-sig"])
def test_other_encodings_hide_nothing(encoding: str) -> None:
    hidden = (XXE + plain()).encode(encoding)
    with pytest.raises(TokenFault):
        read(hidden)


@pytest.mark.parametrize("encoding", ["UTF-7", "UTF-16", "ISO-8859-1", "x-user-defined", "IBM037"])
def test_a_declaration_of_another_encoding_is_refused(encoding: str) -> None:
    with pytest.raises(TokenFault, match="not UTF-8"):
        read(f'<?xml version="1.0" encoding="{encoding}"?>' + plain())


def test_a_declaration_and_a_mark_of_utf_8_are_let_pass() -> None:
    assert read(f'<?xml version="1.0" encoding="UTF-8"?>\n{plain()}').agent == "reporter"
    assert read(("\ufeff" + plain()).encode()).agent == "reporter"


@pytest.mark.parametrize("cut", [0, 1, 100, 1000, -1, -20])
def test_a_part_of_a_response_is_none(cut: int) -> None:
    with pytest.raises(TokenFault):
        read(plain()[:cut])


def test_what_is_too_large_is_not_parsed() -> None:
    with pytest.raises(TokenFault, match=f"larger than {MAX_DOCUMENT}"):
        read(plain() + " " * MAX_DOCUMENT)


def test_depth_is_bounded_by_the_schema() -> None:
    deep = "<samlp:Status>" * 2000 + "</samlp:Status>" * 2000
    with pytest.raises(TokenFault):
        read(plain().replace("<samlp:Status>", f"<samlp:Status>{deep}"))


@pytest.mark.parametrize("kind", ["EncryptedAssertion", "EncryptedID", "EncryptedAttribute"])
def test_encryption_is_refused_in_words_that_say_what_to_do(kind: str) -> None:
    with pytest.raises(TokenFault, match=r"encrypted; .* not encrypt them"):
        read(forge.response(f'<saml:{kind} xmlns:saml="{forge.SAML}"/>'))


def _with(path: str, text: str, *, at: int | None = None) -> str:
    def change(root: Any) -> None:
        place = root if path == "." else root.find(path, NS)
        place.insert(len(place) if at is None else at, etree.fromstring(text))

    return rearranged(plain(), change)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (lambda: _with(".", f'<samlp:Extensions xmlns:samlp="{forge.SAMLP}"/>', at=1), "does not hold"),
        (lambda: _with("saml:Assertion", f'<saml:Advice xmlns:saml="{forge.SAML}"/>', at=3), "does not hold"),
        (lambda: _with("saml:Assertion/ds:Signature", f'<ds:Object xmlns:ds="{forge.DS}"/>'), "does not hold"),
        (lambda: _with("samlp:Status", f'<samlp:StatusDetail xmlns:samlp="{forge.SAMLP}"/>'), "does not hold"),
        (lambda: _with(".", f"{forge.assertion(id='_a2')}"), "does not hold"),
        (lambda: plain().replace("_r1", "_a1"), "same ID"),
        (lambda: plain().replace('ID="_r1"', 'ID="1 r"'), "ASCII letters"),
        (lambda: plain().replace('ID="_a1"', 'ID="_a1" Id="_a1"'), "not read here"),
        (lambda: plain().replace('ID="_a1"', 'ID="_a1" xml:id="_a1"'), "not read here"),
        (lambda: plain().replace('ID="_a1"', 'ID="_a1" xml:base="https://evil.example/"'), "not read here"),
        (lambda: plain().replace('ID="_a1"', 'ID="_a1" samlp:ID="_x"'), "not read here"),
        (lambda: plain().replace(' ID="_r1"', ""), "lacks ID"),
        (lambda: plain().replace("<samlp:Status>", "<samlp:Status>loose"), "loose text"),
        (lambda: plain().replace("</samlp:Status>", "</samlp:Status>loose"), "loose text"),
        (lambda: plain().replace("xmlns:samlp=", 'xmlns:x="relative" xmlns:samlp='), "namespace"),
        (lambda: plain().replace("xmlns:samlp=", 'xmlns:x="urn:with space" xmlns:samlp='), "namespace|well-formed"),
        (lambda: plain().replace(forge.SAMLP, "urn:oasis:names:tc:SAML:1.0:protocol"), "no SAML 2.0 response"),
        (lambda: forge.assertion(), "no SAML 2.0 response"),
        (lambda: '<html xmlns="urn:x">', "not well-formed"),
        (lambda: "", "not well-formed"),
        (lambda: "&x;", "not well-formed"),
        (lambda: plain().replace("ada@corp.example", "&undeclared;"), "not well-formed"),
        (lambda: plain().replace("ada@corp.example", "&#0;"), "not well-formed"),
        (lambda: plain().replace("ada@corp.example", "<saml:NameID>root</saml:NameID>"), "does not hold"),
    ],
)
def test_whatever_the_table_does_not_name_is_refused(document: Any, reason: str) -> None:
    with pytest.raises(TokenFault, match=reason):
        read(document())


def test_messages_show_nothing_that_a_terminal_would_obey() -> None:
    strange = plain().replace("</samlp:Status>", '</samlp:Status><x xmlns="urn:\u202e\u009b31m"/>')
    with pytest.raises(TokenFault) as refusal:
        read(strange)
    assert str(refusal.value).isascii() and str(refusal.value).isprintable()


def test_every_name_of_the_table_is_explained_in_it() -> None:
    """No content model names an element that has no row: it could never be let pass, and nobody would notice."""
    rows = RULES["elements"]
    named = {name for row in rows.values() for name in re.findall(r"[a-z]+:[A-Za-z0-9]+", row["holds"])}
    assert "ds:Signature" in named and named <= set(rows)


# properties


def _outcome(document: bytes) -> object:
    try:
        return read(document)
    except TokenFault:
        return None


@cache
def _variants() -> tuple[bytes, ...]:
    both = idp().sign(plain(), "_r1")
    return plain().encode(), idp().sign(forge.response(), "_r1").encode(), both.encode()


ADA = read(plain())


@given(st.integers(0, 2), st.data())
@settings(max_examples=120, deadline=None)
def test_changed_bytes_change_nobody(which: int, data: st.DataObject) -> None:
    document = bytearray(_variants()[which])
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(document) - 1))
        length = data.draw(st.integers(0, 40))
        new = data.draw(
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from(
                    [b"<!---->", b"&#65;", b"root", b"<saml:NameID>", b"</saml:NameID>", b'"', b" ", b"\xc2\xa0"]
                ),
                st.just(bytes(document[start : start + length]) * 2),
            )
        )
        document[start : start + length] = new
    assert _outcome(bytes(document)) in (None, ADA)


@given(st.integers(0, 2), st.data())
@settings(max_examples=120, deadline=None)
def test_rearranged_elements_change_nobody(which: int, data: st.DataObject) -> None:
    root = etree.fromstring(_variants()[which])
    for _ in range(data.draw(st.integers(1, 3))):
        elements = list(root.iter())
        one = elements[data.draw(st.integers(0, len(elements) - 1))]
        other = elements[data.draw(st.integers(0, len(elements) - 1))]
        match data.draw(st.sampled_from(["copy", "move", "drop", "text", "id", "rename"])):
            case "copy":
                made = copy.deepcopy(one)
                for name in made.iter(f"{{{forge.SAML}}}NameID"):
                    name.text = "root@corp.example"
                other.insert(data.draw(st.integers(0, len(other))), made)
            case "move" if one is not root and other not in one.iter():
                other.insert(data.draw(st.integers(0, len(other))), one)
            case "drop" if one is not root:
                one.getparent().remove(one)
            case "text":
                one.text = data.draw(st.sampled_from(["root@corp.example", "owners", ""]))
            case "id":
                one.set("ID", data.draw(st.sampled_from(["_a1", "_r1", "_x"])))
            case "rename":
                one.tag = other.tag
    assert _outcome(etree.tostring(root)) in (None, ADA)


def test_the_tree_that_is_returned_is_the_response() -> None:
    assert read_response(plain().encode()).get("ID") == "_r1"


def test_the_gateway_loads_no_library_for_it() -> None:
    """Agents' connections end in a process that parses no XML: what reads assertions runs beside the page."""
    script = (
        "import sys, fargate_proxy.__main__, fargate_proxy.local, fargate_proxy.aws, blastwall.config.bundle\n"
        "sys.exit(' '.join({'lxml', 'signxml'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
