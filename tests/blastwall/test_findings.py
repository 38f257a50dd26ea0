from blastwall.findings import Finding, Verdict


def test_a_title_names_what_was_looked_at_where_that_is_not_plain() -> None:
    assert Finding("clock", Verdict.OK, "plausible").title == "clock"
    assert Finding("rds_iam", Verdict.FAIL, "it does not", "Turn it on.", "orders").title == "rds_iam (orders)"
