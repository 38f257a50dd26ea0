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
        ("id::text LIKE '12%'", "id::text LIKE '%'"),
        ("total::text = '5.00'", "total::text LIKE '%.%'"),
        ("created_at::text LIKE '2024-05%'", "created_at::text LIKE '%-%'"),
        ("created_at::text < '2020'", "created_at::text > ''"),
        ("extract(year FROM created_at) < 2020", "extract(year FROM created_at) > 0"),
        ("extract(month FROM created_at) = 5", "date_part('month', created_at) BETWEEN 1 AND 12"),
        ("extract(epoch FROM now() - created_at) > 86400 * 30", "extract(epoch FROM now() - created_at) > 0"),
        ("extract(dow FROM created_at) IN (0, 6)", "extract(hour FROM created_at) < 24"),
        ("to_char(created_at, 'YYYY-MM') = '2024-05'", "to_char(created_at, 'YYYY') <> ''"),
        ("now() - created_at > interval '30 days'", "now() - created_at >= interval '0 days'"),
        ("age(created_at) > interval '1 year'", "age(created_at) > interval '-1000 years'"),
        ("current_date - created_at::date > 90", "current_date - created_at::date >= 0"),
        ("concat(status, '-', id) = 'new-5'", "concat('x', status) <> ''"),
        ("concat(status, NULL) = 'new'", "concat(status, NULL, '!') <> ''"),
        ("concat_ws('-', status, id) = 'new-5'", "concat_ws('-', status, id) <> ''"),
        ("format('%s x', status) = 'new x'", "format('%s x', status) <> ''"),
        ("lpad(status, 3) = 'new'", "lpad(status, 3) <> ''"),
        ("rpad(status, 3, '.') = 'new'", "rpad(status, 0, '.') = ''"),
        ("text(id) = '5'", "text(id) <> ''"),
        ("ascii(status) = 110", "ascii(status) >= 0"),
        ("hashtext(status) > 5", "hashtext(status) >= -2147483648"),
        ("md5(status || id::text) LIKE 'a%'", "md5(status || id::text) LIKE '%'"),
        ("id < 10 * 1000", "id < 1000 * 1000 * 1000 * 1000"),
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
