"""Compiled conditions: logic, NULL, CASE, calls and casts, each beside its empty twin."""

from __future__ import annotations

import pytest

from tests.blastwall.sql.judging import judged


@pytest.mark.parametrize(
    ("limits", "does_not"),
    [
        ("NOT id = 5", "NOT id <> id"),
        ("id = 5 AND true", "id = 5 OR id <> 5"),
        ("(id = 5) IS TRUE", "(id = id) IS TRUE"),
        ("(id = 5) IS NOT TRUE", "(id = 5) IS NOT UNKNOWN"),
        ("customer_id IS NULL", "status IS NOT NULL"),
        ("CASE WHEN id = 5 THEN true ELSE false END", "CASE WHEN id = 5 THEN true ELSE true END"),
        ("CASE id WHEN 5 THEN true ELSE false END", "CASE WHEN true THEN true ELSE id = 5 END"),
        ("coalesce(status, 'x') = 'new'", "coalesce(status, 'x') = coalesce(status, 'x')"),
        ("lower(status) = 'new'", "length(status) >= 0"),
        ("abs(id) > 100", "abs(id) >= 0"),
        ("-id < -100", "-id < 0"),
        ("id + 1 = 5", "id - id = 0"),
        ("id % 2 = 0", "id % 2 < 2"),
        ("id::text = '5'", "id::text <> ''"),
        ("created_at < '2020-01-01'::timestamptz", "created_at < '2999-01-01'::timestamptz"),
        ("greatest(id, 5) = 9", "greatest(id, 5) >= 5"),
        ("starts_with(status, 'n')", "starts_with(status, '')"),
        ('id = 5 COLLATE "C"', "random() < 0.5"),
    ],
)
def test_a_condition_limits_and_its_empty_twin_does_not(limits: str, does_not: str) -> None:
    assert judged(f"DELETE FROM orders WHERE {limits}").bounded
    assert not judged(f"DELETE FROM orders WHERE {does_not}").bounded


def test_what_is_nested_too_deep_is_no_limit() -> None:
    deep = "NOT (" * 70 + "id > 100" + ")" * 70
    assert not judged(f"DELETE FROM orders WHERE {deep}").bounded
    shallow = "NOT (" * 4 + "id > 100" + ")" * 4
    assert judged(f"DELETE FROM orders WHERE {shallow}").bounded
