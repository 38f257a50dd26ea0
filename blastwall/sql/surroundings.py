"""Everything besides its text that decides what a PostgreSQL statement means."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from blastwall.masking.plan import Plan, Treatment
from blastwall.model import Facts
from blastwall.sql.catalogue import Catalogue

GRAMMAR_MAJOR = 18  # the major whose grammar the parser speaks
_UNMASKED = Plan()
_VERSION_NUMBER_FROM = 10_000  # server_version_num counts major * 10,000; smaller numbers are majors themselves


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """What a session's statements are judged in. Compared by identity: a session keeps one object for as long as
    nothing changes. Caches are keyed by its ``serial``, which no other has: a key that held the object would keep its
    catalogue, which may be large, for as long as the cache likes.

    ``search_path`` holds existing schemas in order, $user expanded, without the implicit pg_temp and pg_catalog.
    ``server_version`` is server_version_num (170010) or a major (17). ``temp`` are the names of temporary relations
    made in this session. ``prepared`` and ``cursors`` map the client's own names (SQL's and the wire's: one namespace
    each) to the facts of their texts. ``allowed_functions`` are functions, operators and types that are not
    PostgreSQL's own and that the target's owner trusts: "schema.name", or "schema.*" for all of a schema. ``plan`` says
    which columns are masked; the treatments are those of what ``prepared`` and ``cursors`` name. ``uncommitted``: the
    catalogue is one that only this session's open transaction sees; ``undone``: meanwhile it was rolled back, perhaps.
    """

    catalogue: Catalogue | None = None
    search_path: tuple[str, ...] = ("public",)
    server_version: int = GRAMMAR_MAJOR * _VERSION_NUMBER_FROM
    database_user: str = ""
    temp: frozenset[str] = frozenset()
    prepared: Mapping[str, Facts] = field(default_factory=dict)
    cursors: Mapping[str, Facts] = field(default_factory=dict)
    in_transaction: bool = False
    uncommitted: bool = False
    undone: bool = False
    allowed_functions: frozenset[str] = frozenset()
    plan: Plan = _UNMASKED
    prepared_treatments: Mapping[str, Treatment] = field(default_factory=dict)
    cursor_treatments: Mapping[str, Treatment] = field(default_factory=dict)
    serial: int = field(default_factory=itertools.count().__next__, init=False, repr=False)

    @property
    def major(self) -> int:
        """The server's major version."""
        return (
            self.server_version // _VERSION_NUMBER_FROM
            if self.server_version >= _VERSION_NUMBER_FROM
            else self.server_version
        )

    @property
    def fingerprint(self) -> str:
        """32 hex digits over what changes the meaning of any text: approvals are bound to it and caches keyed by it.

        Prepared names, cursors and the transaction are left out, so that an approval survives a reconnect: they change
        the meaning of EXECUTE, FETCH and WHERE CURRENT OF only. The protocol's reader adds what they stand for.
        """
        parts = (
            self.catalogue.version if self.catalogue is not None else "",
            self.database_user,
            str(self.server_version),
            *self.search_path,
            "",
            *sorted(self.temp),
            "",
            *sorted(self.allowed_functions),
            "",
            self.plan.version,
            *(("uncommitted",) if self.uncommitted else ()),
            *(("undone",) if self.undone else ()),
        )
        return hashlib.sha256("\0".join(parts).encode("utf-8")).hexdigest()[:32]

    def allows(self, schema: str, name: str) -> bool:
        """Whether the target's owner lists that function, operator or type."""
        return f"{schema}.{name}" in self.allowed_functions or f"{schema}.*" in self.allowed_functions
