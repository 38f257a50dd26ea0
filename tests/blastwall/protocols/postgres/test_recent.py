"""What is kept of the last text and Parse is what would be made anew."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.recent import LONGEST_KEPT, Recent

TEXTS = st.sampled_from(["SELECT 1", "SELECT 2", "", "SELECT \N{SNOWMAN}", "x" * LONGEST_KEPT])


@given(st.lists(st.one_of(TEXTS.map(str.encode), st.sampled_from([b"\xff", b"SELECT \xff", b"\xc3\x28"]))))
def test_words_are_the_texts_own(texts: list[bytes]) -> None:
    recent = Recent()
    for text in texts:
        try:
            expected: str | None = text.decode()
        except UnicodeDecodeError:
            expected = None
        assert recent.words(text) == expected


def test_the_same_text_is_the_same_object() -> None:
    recent = Recent()
    first = recent.words(b"SELECT 1")
    assert recent.words(b" ".join((b"SELECT", b"1"))) is first


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "", "s"]),
            TEXTS,
            st.sampled_from([(), (23,), (0,)]),
            st.sampled_from([b"", b" /* a */"]),
        )
    )
)
def test_a_parse_is_what_it_would_be_made_anew(said: list[tuple[str, str, tuple[int, ...], bytes]]) -> None:
    recent = Recent()
    for name, text, type_ids, signature in said:
        expected = messages.parse(name.encode(), text.encode() + signature, type_ids)
        assert recent.parse(name, text, type_ids, signature) == expected
