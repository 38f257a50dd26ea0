"""Names with wildcards, and what people say of columns."""

from __future__ import annotations

import pytest

from blastwall.masking.patterns import names, remark


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("public.customers.email", ("public", "customers", "email"), True),
        ("public.customers.email", ("public", "customers", "emails"), False),
        ("*.*.email", ("any", "table", "email"), True),
        ("public.cust*.?mail", ("public", "customers", "email"), True),
        ("public.cust*.?mail", ("public", "customers", "mail"), False),
        ("*.email", ("a", "email"), True),
        ('public."Odd.name".x', ("public", "Odd.name", "x"), True),
        ('public."a*".x', ("public", "ab", "x"), False),
        ('public."a*".x', ("public", "a*", "x"), True),
        ('"a""b".c', ('a"b', "c"), True),
        ("public.Customers.x", ("public", "customers", "x"), False),
        ("public.a[b].x", ("public", "ab", "x"), False),
        ("public.a.b+", ("public", "a", "bb"), False),
        ("*.*.*", ("line\nbreak", "x", "y"), True),
    ],
)
def test_names(pattern: str, name: tuple[str, ...], fits: bool) -> None:
    assert names(pattern, len(name)).matches(*name) is fits


def test_a_wildcard_stays_within_its_part() -> None:
    assert not names("*.x", 2).matches("a", "b")
    assert names("*", 1).matches("a.b")


@pytest.mark.parametrize(
    "text", ["email", "public.email", "a.b.c.d", "", "..", "a..b", 'a."b.c', "a.b.", 'a."b"c.d', '"".a.b']
)
def test_what_is_no_name_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"write schema\.table\.column"):
        names(text, 3)


def test_what_is_exact() -> None:
    assert names("a.b.c", 3).exact and names('a."*".c', 3).exact
    assert not names("a.b.c*", 3).exact


@pytest.mark.parametrize(
    ("pattern", "comment", "fits"),
    [
        ("pii:*", "pii:email", True),
        ("pii:*", "PII:Email", True),
        ("pii:*", "The address, as given [pii:email].", True),
        ("pii:*", "not pii", False),
        ("personal:*", "personal: identity number", True),
        ("pii", "piipii", False),
        ("*", "", False),
        ("pii:*", "a\npii:x\nb", True),
    ],
)
def test_remarks(pattern: str, comment: str, fits: bool) -> None:
    assert remark(pattern).matches(comment) is fits


def test_security_labels_fit_with_and_without_their_provider() -> None:
    assert remark("anon:MASKED *").matches("", ("anon:MASKED WITH VALUE NULL",))
    assert remark("masked *").matches("", ("anon:MASKED WITH VALUE NULL",))
    assert not remark("masked").matches("", ("masked:no",))
