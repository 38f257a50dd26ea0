"""Conditions of a parse tree, compiled once and asked of many sample rows: can this be anything but true?

Whatever is not understood is answered ANY: it never counts as a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from blastwall.sql.comparisons import comparison, equality
from blastwall.sql.computed import COMPUTED, CUT, arithmetic
from blastwall.sql.firmness import firm_comparison, firm_ranges
from blastwall.sql.tree import Message, constant, kind_of, literal, strings
from blastwall.sql.truth import (
    ANY,
    AS_VALUE,
    BY_A_MATCH,
    FALSE,
    LINKED,
    MATCHED,
    NULL,
    OPPOSITE,
    OTHER,
    TARGET,
    TRUE,
    UNLINKED,
    UNMATCHED,
    Owner,
    Term,
    Truth,
    all_of,
    always,
    any_of,
    anybody,
    bit,
    derived,
    result_of,
    shape,
    spread,
    token,
    truth_of,
    wild,
    words,
)
from blastwall.sql.values import (
    ANYTHING,
    NOW,
    Free,
    Moment,
    Pool,
    Sample,
    Value,
    as_number,
    moment_in,
    order,
    spelled,
)

_DEPTH = 60  # conditions nested deeper are ANY
_PARAMETER_NUMBER = 1_000_003
_VOLATILE = frozenset({"random", "random_normal", "gen_random_uuid", "uuidv4", "uuidv7", "timeofday"})
_ARITHMETIC = frozenset({"+", "-", "*", "/", "%", "^", "||"})
_TEXT_TYPES = frozenset({"text", "varchar", "bpchar", "name"})
_NUMBER_TYPES = frozenset({"int2", "int4", "int8", "numeric", "float4", "float8"})
_OF_NULLS = frozenset({"coalesce", "concat"})  # what they give where an argument is NULL is not NULL
_AND, _NOT = 1, 3
_COLLECTIONS = ("array(", "row(")  # their length says nothing about what is in them


@dataclass
class Compiler:
    """Compiles conditions. ``owner`` says whose a column is (None: nobody's); ``sub_link`` judges sub-queries.

    ``pool`` gathers the literals that samples should try. ``firmly``: only firm limits count (firmness.py).
    """

    owner: Callable[[list[str]], Owner | None]
    sub_link: Callable[[Compiler, Message, int], Truth | Term]
    pool: Pool = field(default_factory=Pool)
    firmly: bool = False

    def truth(self, node: Message, depth: int = 0) -> Truth:
        """Compile a condition."""
        which = kind_of(node)
        if depth > _DEPTH or not which:
            return anybody
        inner = getattr(node, which)
        rule = getattr(self, f"_truth_{which}", None)
        if rule is not None:
            return rule(inner, depth)  # type: ignore[no-any-return]  # the methods below, by name
        term = self.term(node, depth)
        if self.firmly and term.truth is None and (term.of or term.wild):
            return anybody  # a yes or no
        return truth_of(term)

    def together(self, clauses: Sequence[Message], depth: int = 0) -> list[Truth]:
        """Compile conditions that must all hold."""
        truths = [self.truth(each, depth) for each in clauses]
        return [*truths, *firm_ranges(self, clauses, depth)] if self.firmly else truths

    def loosely(self, node: Message, depth: int) -> Truth:
        """Compile a condition so that weak limits count as well."""
        return replace(self, firmly=False).truth(node, depth)

    def term(self, node: Message, depth: int = 0) -> Term:
        """Compile a scalar."""
        which = kind_of(node)
        if depth > _DEPTH or not which:
            return wild("?")
        inner = getattr(node, which)
        rule = getattr(self, f"_term_{which}", None)
        if rule is not None:
            return rule(inner, depth)  # type: ignore[no-any-return]  # the methods below, by name
        if hasattr(self, f"_truth_{which}"):
            truth = self.truth(node, depth)
            return Term(shape(node), lambda sample: AS_VALUE[truth(sample)], truth=truth)
        return wild(shape(node))

    # Conditions

    def _truth_bool_expr(self, node: Message, depth: int) -> Truth:
        if node.boolop == _AND:
            return all_of(self.together(node.args, depth + 1))
        arms = [self.truth(each, depth + 1) for each in node.args]
        if node.boolop == _NOT:
            only = arms[0]
            return lambda sample: OPPOSITE[only(sample)]
        return any_of(arms)

    def _truth_null_test(self, node: Message, depth: int) -> Truth:
        is_null = node.nulltesttype == 1
        if kind_of(node.arg) == "column_ref":
            owner = self.owner(strings(node.arg.column_ref.fields))
            if owner is not None and owner.of == TARGET and not self.firmly:
                if not owner.nullable:
                    return always(FALSE if is_null else TRUE)
                key = owner.variable.key
                self.pool.nulls.add(key)
                return lambda sample: TRUE if sample.is_null(key) == is_null else FALSE
            return anybody
        known, literal = constant(node.arg)
        if known:
            return always(TRUE if (literal is None) == is_null else FALSE)
        if self.firmly:
            return anybody
        term = self.term(node.arg, depth + 1)
        if TARGET not in term.of and term.truth is None:
            return anybody
        if term.plain and term.key.startswith("field "):
            return bit(f"null {term.key}", is_null)
        value = term.value

        def test(sample: Sample) -> int:
            found = value(sample)
            return ANY if found is ANYTHING else TRUE if (found is None) == is_null else FALSE

        return test

    def _truth_boolean_test(self, node: Message, depth: int) -> Truth:
        inner = self.truth(node.arg, depth + 1)
        wanted, negated = {1: (TRUE, False), 2: (TRUE, True), 3: (FALSE, False), 4: (FALSE, True)}.get(
            node.booltesttype, (NULL, node.booltesttype == 6)
        )

        def test(sample: Sample) -> int:
            found = inner(sample)
            if found == ANY or (self.firmly and wanted == NULL):
                return ANY
            if wanted == NULL:
                result = TRUE if found == NULL else FALSE
            elif found in BY_A_MATCH:
                result = found if wanted == TRUE else OPPOSITE[found]
            else:
                result = TRUE if found == wanted else FALSE
            return OPPOSITE[result] if negated else result

        return test

    def _truth_sub_link(self, node: Message, depth: int) -> Truth:
        found = self.sub_link(self, node, depth)
        return truth_of(found) if isinstance(found, Term) else found

    def _truth_current_of_expr(self, node: Message, depth: int) -> Truth:
        return always(FALSE)

    def _truth_a_expr(self, node: Message, depth: int) -> Truth:
        loose = comparison(self, node, depth)
        return firm_comparison(self, node, loose, depth) if self.firmly else loose

    def _truth_case_expr(self, node: Message, depth: int) -> Truth:
        if node.HasField("arg"):
            return truth_of(self._term_case_expr(node, depth))
        branches = [
            (self.truth(each.case_when.expr, depth + 1), self.truth(each.case_when.result, depth + 1))
            for each in node.args
        ]
        otherwise = self.truth(node.defresult, depth + 1) if node.HasField("defresult") else always(NULL)

        def test(sample: Sample) -> int:
            possible = []
            for condition, result in branches:
                met = condition(sample)
                if met in (TRUE, LINKED):
                    possible.append(result(sample))
                    break
                if met == ANY or met in (MATCHED, UNLINKED, UNMATCHED):
                    possible.append(result(sample))
            else:
                possible.append(otherwise(sample))
            return possible[0] if len(set(possible)) == 1 else ANY

        return test

    # Scalars

    def _term_a_const(self, node: Message, depth: int) -> Term:
        known, value = literal(node)
        if not known:
            return wild("const")
        self.pool.add(value)
        return Term(f"={value!r}", lambda sample: value)

    def _term_param_ref(self, node: Message, depth: int) -> Term:
        number = node.number
        self.pool.add(_PARAMETER_NUMBER + number)
        self.pool.texts[f"p{number}q"] = None
        value = Free(f"${number}", _PARAMETER_NUMBER + number, f"p{number}q", NOW - 1000.0 - number, True)
        self.pool.add(Moment(value.days))
        return Term(value.key, lambda sample: value)

    def _term_column_ref(self, node: Message, depth: int) -> Term:
        owner = self.owner(strings(node.fields))
        if owner is None:
            return wild(shape(node))
        variable = owner.variable
        return Term(
            variable.key,
            lambda sample: None if sample.is_null(variable.key) else sample.value(variable),
            frozenset((owner.of,)),
            plain=True,
            link=owner.link,
            variable=variable,
            columns=frozenset((variable.key,)),
        )

    def _term_type_cast(self, node: Message, depth: int) -> Term:
        known, value = constant(node.arg)
        names = strings(node.type_name.names)
        if known and isinstance(value, str) and names[-1] in ("timestamptz", "timestamp", "date"):
            moment = moment_in(value)
            if moment is not None:
                self.pool.add(moment)
                return Term(f"={moment!r}", lambda sample: moment)
        term = self.term(node.arg, depth + 1)
        if known or node.type_name.array_bounds:
            return term
        if names[-1] in _TEXT_TYPES:
            return _as_text(term)
        if names[-1] in _NUMBER_TYPES and term.variable is not None and term.variable.kind == "boolean":
            return derived(f"int({term.key})", [term], lambda sample: _as_one(term.value(sample)))
        return term

    def _term_collate_clause(self, node: Message, depth: int) -> Term:
        return self.term(node.arg, depth + 1)

    def _term_named_arg_expr(self, node: Message, depth: int) -> Term:
        return self.term(node.arg, depth + 1)

    def _term_row_expr(self, node: Message, depth: int) -> Term:
        return self._several(node.args, "row", depth, tuple)

    def _term_a_array_expr(self, node: Message, depth: int) -> Term:
        return self._several(node.elements, "array", depth, list)

    def _several(self, nodes: Sequence[Message], what: str, depth: int, build: Callable[[Any], Value]) -> Term:
        terms = [self.term(each, depth + 1) for each in nodes]
        return derived(
            f"{what}({','.join(each.key for each in terms)})",
            terms,
            lambda sample: build(each.value(sample) for each in terms),
            plain=any(each.plain for each in terms) and all(each.plain or not each.of for each in terms),
            link=min((each.link for each in terms if OTHER in each.of), default=0),
        )

    def _term_sub_link(self, node: Message, depth: int) -> Term:
        found = self.sub_link(self, node, depth)
        return (
            found if isinstance(found, Term) else Term(shape(node), lambda sample: AS_VALUE[found(sample)], truth=found)
        )

    def _term_sqlvalue_function(self, node: Message, depth: int) -> Term:
        if node.op <= 9:
            return Term("now", lambda sample: Moment(NOW))
        return Term(
            f"session {node.op}", lambda sample: Free(f"session {node.op}", 1, "session user", NOW, True, "text")
        )

    def _term_coalesce_expr(self, node: Message, depth: int) -> Term:
        terms = [self.term(each, depth + 1) for each in node.args]
        return derived(
            f"coalesce({','.join(each.key for each in terms)})",
            terms,
            lambda sample: COMPUTED["coalesce"]([each.value(sample) for each in terms]),
            plain=terms[0].plain if terms else False,
        )

    def _term_min_max_expr(self, node: Message, depth: int) -> Term:
        terms = [self.term(each, depth + 1) for each in node.args]
        sign = 1 if node.op == 1 else -1

        def choose(sample: Sample) -> Value:
            values = [value for value in (each.value(sample) for each in terms) if value is not None]
            if not values or ANYTHING in values:
                return ANYTHING if values else None
            best = values[0]
            for value in values[1:]:
                try:
                    best = value if (order(value, best) or 0) * sign > 0 else best
                except TypeError:
                    return ANYTHING
            return best

        return derived(f"{node.op}({','.join(each.key for each in terms)})", terms, choose)

    def _term_case_expr(self, node: Message, depth: int) -> Term:
        tested = self.term(node.arg, depth + 1) if node.HasField("arg") else None
        branches = []
        for each in node.args:
            when = each.case_when
            if tested is None:
                condition = self.truth(when.expr, depth + 1)
            else:
                condition = equality(tested, self.term(when.expr, depth + 1))
            branches.append((condition, self.term(when.result, depth + 1)))
        otherwise = (
            self.term(node.defresult, depth + 1) if node.HasField("defresult") else Term("null", lambda sample: None)
        )

        def value(sample: Sample) -> Value:
            for condition, result in branches:
                met = condition(sample)
                if met == TRUE:
                    return result.value(sample)
                if met not in (FALSE, NULL):
                    return ANYTHING
            return otherwise.value(sample)

        found = derived(shape(node), [*(result for _, result in branches), otherwise], value)
        return replace(found, of=found.of | {TARGET}, guessed=True)

    def _term_func_call(self, node: Message, depth: int) -> Term:
        name = strings(node.funcname)[-1]
        if name in ("now", "transaction_timestamp", "statement_timestamp", "clock_timestamp") and not node.args:
            return Term("now", lambda sample: Moment(NOW))
        terms = [self.term(each, depth + 1) for each in node.args]
        if name in _TEXT_TYPES and len(terms) == 1 and not constant(node.args[0])[0]:
            return _as_text(terms[0])  # text(x) is x::text
        of = frozenset().union(*(each.of for each in terms))
        key = f"{name}({','.join(each.key for each in terms)})"
        cut = name in CUT and all(isinstance(constant(each)[1], int) for each in node.args[1:])
        if terms and (cut or name in COMPUTED):
            compute = CUT[name] if cut else COMPUTED[name]
            plain = terms[0].plain and name not in ("num_nulls", "num_nonnulls", "sign")

            def value(sample: Sample) -> Value:
                values = [each.value(sample) for each in terms]
                if ANYTHING in values:
                    return ANYTHING
                try:
                    return None if None in values and name not in _OF_NULLS else compute(values)
                except (ArithmeticError, IndexError, TypeError, ValueError):
                    return ANYTHING

            return derived(key, terms, value, plain=plain, link=terms[0].link)
        if name in words().spreading and any(each.plain and not each.key.startswith(_COLLECTIONS) for each in terms):
            literals = [constant(each)[1] for each in node.args]
            within = result_of(name, key, terms, literals[0], literals)
            for end in (within.least, within.most):
                if abs(end) < 2**50:
                    self.pool.add(end)
            return spread(key, terms, max(each.link for each in terms), within)
        tests = name in words().tests and any(each.plain and TARGET in each.of for each in terms[:1])
        if tests and constant(node.args[-1]) != (True, ""):
            if self.firmly:
                return wild(key, of)
            return Term(key, lambda sample: bool(sample.chance(key) & 1), of, truth=bit(key))
        if not of and not any(each.wild for each in terms) and name not in _VOLATILE:
            return token(key)
        return wild(key, of)

    def _term_a_expr(self, node: Message, depth: int) -> Term:
        name = strings(node.name)[-1]
        if node.kind != 1 or not node.HasField("lexpr"):
            if node.kind == 1 and name in ("-", "+") and node.HasField("rexpr"):
                known, value = constant(node.rexpr)
                inner = self.term(node.rexpr, depth + 1)
                sign = -1 if name == "-" else 1
                if known and as_number(value) is not None:
                    self.pool.add(sign * (as_number(value) or 0))
                return derived(
                    f"{name}{inner.key}", [inner], lambda sample: _signed(inner.value(sample), sign), plain=inner.plain
                )
            truth = self._truth_a_expr(node, depth)
            return Term(shape(node), lambda sample: AS_VALUE[truth(sample)], truth=truth)
        if name in _ARITHMETIC:
            left, right = self.term(node.lexpr, depth + 1), self.term(node.rexpr, depth + 1)
            if not (left.of or right.of or left.wild or right.wild):
                row = Sample(0, self.pool)  # the same in every row
                self.pool.add(arithmetic(name, left.value(row), right.value(row)))
            return derived(
                f"({left.key}{name}{right.key})",
                [left, right],
                lambda sample: arithmetic(name, left.value(sample), right.value(sample)),
                plain=left.plain or right.plain if name == "||" else name in "+-" and left.plain != right.plain,
            )
        if name in words().field_operators:
            left, right = self.term(node.lexpr, depth + 1), self.term(node.rexpr, depth + 1)
            key = f"field {left.key}{name}{right.key}"
            return spread(key, [left, right], left.link) if left.plain else wild(key)
        truth = self._truth_a_expr(node, depth)
        return Term(shape(node), lambda sample: AS_VALUE[truth(sample)], truth=truth)


def _as_text(term: Term) -> Term:
    value, key = term.value, f"text({term.key})"
    found = derived(key, [term], lambda sample: spelled(value(sample)), plain=term.plain, link=term.link)
    return replace(found, variable=term.variable)


def _as_one(value: Value) -> Value:
    return int(value.flag) if isinstance(value, Free) else value


def _signed(value: Value, sign: int) -> Value:
    number = as_number(value)
    return ANYTHING if number is None else sign * number
