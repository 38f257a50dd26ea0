"""masking.yaml: what is wrong in it is told with its line, and what is right becomes rules."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from blastwall.config.bundle import load_bundle
from blastwall.config.masking import load_masking, with_key
from blastwall.errors import ConfigFault
from blastwall.masking.plan import Mask, Predicates, Strategy
from blastwall.masking.rules import Detectors, Rules
from blastwall.model import Secret
from tests.blastwall.config.configuration import write

ROOT = Path(__file__).parents[3]
KEY = "k" * 32


class Own:
    """A deployment's key."""

    def __init__(self, key: str) -> None:
        self._key = key

    def read(self) -> Secret:
        return Secret(self._key)


def load(columns: str, more: str = "", *, head: str = "version: 1\n") -> Rules:
    text = f"{head}targets:\n  shop:\n{more}    columns:\n{columns}"
    return load_masking(text, Path("/etc/blastwall/masking.yaml"), {"shop": None}).rules["shop"]


def problem(columns: str, more: str = "", **options: str) -> str:
    with pytest.raises(ConfigFault) as caught:
        load(columns, more, **options)
    (found,) = caught.value.problems
    return str(found).removeprefix("/etc/blastwall/")


def test_everything_a_rule_can_say() -> None:
    rules = load(
        """
      - {column: public.customers.email, strategy: partial, keep: mail_domain, predicates: equality, exempt: [a, b]}
      - {column: "*.*.phone", strategy: partial, show: 2, mark: "(hidden)", database: "shop*"}
      - {comment: "pii:*", strategy: null}
      - {column: public.customers.born, strategy: truncate, to: month}
      - {column: public.customers.income, strategy: truncate, bucket: 2500.50}
      - {column: public.customers.ssn, strategy: redact, nulls: hide, predicates: allow}
      - {column: public.customers.note, comment: "pii:*", strategy: show}
""",
        "    vouched: [public.totals]\n    exempt: [root]\n    detectors: off\n    lookups: 7\n",
    )
    first, second, third, fourth, fifth, sixth, seventh = rules.rules
    assert (first.strategy, first.predicates, first.exempt) == (Strategy.PARTIAL, Predicates.EQUALITY, {"a", "b"})
    assert (first.options.keep, first.options.mark, first.origin) == ("mail_domain", "***", "masking.yaml:10")
    assert (second.options.show, second.options.mark, second.database) == (2, "(hidden)", "shop*")
    assert third.strategy is Strategy.NULL and third.names is None and third.remark is not None
    assert (fourth.options.unit, fifth.options.bucket) == ("month", Decimal("2500.5"))
    assert sixth.options.hide_nulls and sixth.predicates is Predicates.ALLOW
    assert seventh.strategy is None and seventh.names is not None and seventh.remark is not None
    assert [each.names.written for each in rules.vouched] == ["public.totals"]
    assert (rules.exempt, rules.detectors, rules.lookups) == ({"root"}, Detectors.OFF, 7)


def test_left_out_means_the_careful_choice() -> None:
    rules = load("      - {column: a.b.c, strategy: redact}\n")
    assert rules.rules[0].predicates is Predicates.DENY and not rules.rules[0].exempt
    assert (rules.detectors, rules.lookups, rules.key) == (Detectors.MASK, 100, None)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{strategy: redact}", "says of no column that it is masked"),
        ("{column: a.b.c}", "strategy is missing"),
        ("{column: a.b.c, strategy: mask}", "'redact', 'partial', 'hash', 'null', 'fake', 'truncate' or 'show'"),
        ("{column: email, strategy: redact}", "'email' is not a name of 3 parts; write schema.table.column"),
        ("{column: a.b.c, strategy: redact, keep: last}", "keep belongs to partial, not to redact"),
        ("{column: a.b.c, strategy: hash, mark: xx}", "mark belongs to redact and partial, not to hash"),
        ("{column: a.b.c, strategy: partial, to: year}", "to belongs to truncate, not to partial"),
        ("{column: a.b.c, strategy: 'null', nulls: hide}", "nulls belongs to redact, not to null"),
        ("{column: a.b.c, strategy: partial, keep: mail_domain, show: 3}", "show belongs to keep: last"),
        ("{column: a.b.c, strategy: partial, show: 0}", "greater than or equal to 1"),
        ("{column: a.b.c, strategy: truncate, bucket: 0}", "bucket must be a number from 0.000001"),
        ("{column: a.b.c, strategy: truncate, bucket: .inf}", "bucket must be a number"),
        ("{column: a.b.c, strategy: truncate, bucket: ten}", "bucket must be a number"),
        ("{column: a.b.c, strategy: truncate, to: week}", "'year', 'quarter', 'month' or 'day'"),
        ('{column: a.b.c, strategy: redact, mark: "it\'s"}', "mark"),
        ('{column: a.b.c, strategy: redact, mark: "{}"}', "mark"),
        ('{column: a.b.c, strategy: redact, mark: "a\\u0000"}', "mark"),
        ("{column: a.b.c, strategy: redact, predicates: maybe}", "predicates"),
        ("{column: a.b.c, strategy: show, exempt: [x]}", "what is shown needs neither predicates nor exempt"),
        ("{column: a.b.c, stratgy: redact, strategy: redact}", "did you mean 'strategy'?"),
    ],
)
def test_a_rule_that_is_wrong_is_told_with_its_line(rule: str, said: str) -> None:
    found = problem(f"      - {{column: x.y.z, strategy: redact}}\n      - {rule}\n")
    assert found.startswith("masking.yaml:6: ") and said in found


def test_the_rest_of_the_file_is_told_too() -> None:
    rule = "      - {column: a.b.c, strategy: redact}\n"
    assert problem(rule, head="version: 2\n").startswith("masking.yaml:1: version")
    assert "'totals' is not a name of 2 parts" in problem(rule, "    vouched: [totals]\n")
    assert "detectors" in problem(rule, "    detectors: maybe\n")
    assert "give env or file" in problem(rule, head="version: 1\nkey: {env: A, file: b}\n")
    assert "give env or file" in problem(rule, head="version: 1\nkey: {}\n")
    with pytest.raises(ConfigFault, match=r"masking.yaml:3: there is no target 'shp'; known are shop"):
        load_masking("version: 1\ntargets:\n  shp: {}\n", Path("masking.yaml"), {"shop": None})


HASHED = "      - {column: a.b.c, strategy: hash}\n"


def pseudonym(
    directory: Path, head: str, environ: dict[str, str], local: str | None = None, target: str = "shop"
) -> str:
    text = f"version: 1\n{head}targets:\n  {target}:\n    columns:\n{HASHED}"
    masking = load_masking(text, directory / "masking.yaml", {"shop": None, "other": None})
    keyed = with_key(masking, environ, None if local is None else Own(local))
    return keyed.rules[target].pseudonym(Mask("a.b.c", Strategy.HASH, Predicates.DENY, "", "", 25), "ann")


def test_the_key_is_kept_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "masking.key").write_text(KEY + "\n")
    seen = [
        pseudonym(tmp_path, "key: {env: MASKING}\n", {"MASKING": KEY}),
        pseudonym(tmp_path, "key: {file: masking.key}\n", {}),
        pseudonym(tmp_path, "", {}, local=KEY),
    ]
    assert len(set(seen)) == 1
    assert pseudonym(tmp_path, "", {}, local="l" * 32) != seen[0]
    assert pseudonym(tmp_path, "", {}, local=KEY, target="other") != seen[0], "targets cannot be joined"


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (
            "key: {env: MASKING}\n",
            "masking.yaml:2: the key cannot be had: the environment variable MASKING holds no key",
        ),
        ("key: {file: absent.key}\n", "absent.key"),
        ("key: {file: short.key}\n", "holds no key of at least 32 characters"),
        ("", "name one (key: {env: NAME} or {file: PATH})"),
    ],
)
def test_without_its_key_nothing_starts(tmp_path: Path, head: str, said: str) -> None:
    (tmp_path / "short.key").write_text("short")
    with pytest.raises(ConfigFault) as caught:
        pseudonym(tmp_path, head, {"MASKING": "short"})
    assert said in str(caught.value)


def test_no_key_is_asked_for_where_none_is_used() -> None:
    text = "version: 1\nkey: {env: ABSENT}\ntargets:\n  shop:\n    columns: [{column: a.b.c, strategy: redact}]\n"
    masking = load_masking(text, Path("masking.yaml"), {"shop": None})
    assert with_key(masking, {}) is masking


def test_a_bundle_holds_the_rules_under_its_version(tmp_path: Path) -> None:
    plain = load_bundle(write(tmp_path))
    assert plain.targets["shop"].masking is None
    file = tmp_path / "masking.yaml"
    file.write_text("version: 1\ntargets:\n  shop:\n    columns:\n" + HASHED)
    masked = load_bundle(tmp_path)
    assert masked.version != plain.version
    rules = masked.targets["shop"].masking
    assert isinstance(rules, Rules) and rules.key is None
    keyed = masked.with_masking_key({}, Own(KEY))
    assert keyed.targets["shop"].masking.key is not None
    assert replace(keyed.targets["shop"], masking=rules) == masked.targets["shop"]
    assert (keyed.version, keyed.policies) == (masked.version, masked.policies)
    file.write_text("version: 1\ntargets:\n  shop:\n    columns: [{column: b}]\n")
    with pytest.raises(ConfigFault, match=r"masking\.yaml:4"):
        load_bundle(tmp_path)


def test_what_ships_is_in_order() -> None:
    shop = load_bundle(ROOT / "config").targets["shop"].masking
    assert isinstance(shop, Rules) and len(shop.rules) == 5 and not shop.at_sink
    corpus = load_bundle(ROOT / "tests" / "fixtures" / "corpus").targets["corpus"].masking
    assert isinstance(corpus, Rules) and corpus.detectors is Detectors.OFF
