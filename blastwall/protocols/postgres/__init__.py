"""PostgreSQL, protocol 3.0 and 3.2. ``PROTOCOL`` is all that anyone outside this folder needs.

What a caller does not use is not imported: checking a configuration must not load the engines.
"""

from __future__ import annotations

import importlib
import socket
import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from blastwall.conversation import Conversation, Host, Manifest, ProtocolSpec, Roles
from blastwall.model import Facts
from blastwall.protocols.postgres.options import Options

if TYPE_CHECKING:
    from blastwall.masking.plan import Treatment
    from blastwall.masking.rules import Rules
    from blastwall.protocols.postgres.classify import Surroundings
    from blastwall.sql.catalogue import Catalogue


def _manifest() -> Manifest:
    raw = tomllib.loads((files(__package__) / "protocol.toml").read_text("utf-8"))
    return Manifest(raw["name"], raw["port"], raw)


def _judge(
    text: str,
    parameters: tuple[str | None, ...],
    catalogue: Catalogue | None,
    options: Options,
    rules: Rules | None = None,
) -> Facts:
    from blastwall.protocols.postgres.classify import classify

    return classify(text, _surroundings(catalogue, options, rules), parameters).facts


def _treatments(text: str, catalogue: Catalogue | None, options: Options, rules: Rules | None) -> tuple[Treatment, ...]:
    from blastwall.protocols.postgres.classify import classify

    return classify(text, _surroundings(catalogue, options, rules)).treatments


def _surroundings(catalogue: Catalogue | None, options: Options, rules: Rules | None) -> Surroundings:
    from blastwall.masking.plan import Plan
    from blastwall.protocols.postgres.classify import Surroundings
    from blastwall.sql.masking import with_views

    allowed = frozenset(options.allowed_functions)
    if catalogue is None:
        return Surroundings(search_path=options.search_path or ("public",), allowed_functions=allowed)
    return Surroundings(
        catalogue=catalogue,
        search_path=options.search_path or catalogue.search_path_default,
        server_version=catalogue.server_version,
        allowed_functions=allowed,
        plan=Plan() if rules is None else with_views(rules.plan(catalogue), catalogue),
    )


def _load_catalogue(path: str) -> Catalogue:
    from blastwall.sql.catalogue_file import load

    return load(Path(path))


def _converse(sock: socket.socket, host: Host) -> Conversation:
    from blastwall.protocols.postgres.conversation import PostgresConversation

    return PostgresConversation(sock, host)


def _canonical(text: str) -> str:
    from blastwall.sql.limits import LIMITS
    from blastwall.sql.parser import Unparsed, deparse, parse

    if len(text) > LIMITS.deparse_inline_bytes:
        return ""
    try:
        return deparse(parse(text))
    except Unparsed:
        return ""


def _start() -> Callable[[], None]:
    """Load the engines and start the parse workers now: the first client should not wait, nor find them broken."""
    importlib.import_module("blastwall.protocols.postgres.conversation")
    from blastwall.sql import worker

    pool = worker.shared()
    pool.start()
    return pool.close


def _roles() -> Roles:
    from blastwall.protocols.postgres.roles import PostgresRoles

    return PostgresRoles()


PROTOCOL = ProtocolSpec(
    _manifest(),
    Options,
    _judge,
    _load_catalogue,
    _converse,
    _start,
    _roles,
    canonical=_canonical,
    treatments=_treatments,
    literals=True,
)
