"""One JSON object that every reader reads alike, or none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.identity.json_object import MAX_DEPTH, read_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_ordinary_objects_read_as_the_standard_library_reads_them(value):
    assert read_object(json.dumps(value).encode()) == value
    assert read_object(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "not JSON"),
        (b"{} {}", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"a": 1, "a": 1}', "twice"),
        (b'{"a": 1, "\\u0061": 2}', "twice"),
        (b'{"x": [{"y": {"a": 1, "a": 2}}]}', "twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": "\\ud800"}', "half a character"),
        (b'{"\\udfff": 1}', "half a character"),
        (b'{"a": ["\\udfff"]}', "half a character"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"a": "\xc0\xaf"}', "not UTF-8"),
        (b'{"a": ' + b"9" * 5000 + b"}", "digits|limit"),
        (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, "nested too deeply"),
    ],
)
def test_anything_two_readers_could_differ_on_is_refused(text, says):
    with pytest.raises(ValueError, match=says):
        read_object(text)


def test_nesting_has_a_limit():
    def nested(depth: int) -> bytes:
        return b'{"a":' * depth + b"1" + b"}" * depth

    assert read_object(nested(MAX_DEPTH - 1))
    with pytest.raises(ValueError, match="nested too deeply"):
        read_object(nested(MAX_DEPTH))


def test_the_message_does_not_quote_the_text():
    with pytest.raises(ValueError, match="at character 11") as caught:
        read_object(b'{"secret": oops}')
    assert "oops" not in str(caught.value)
