"""The statements that make, end and find a session's own role; pure text, for PostgreSQL 16 and later.

What the role that runs them needs (docs/credentials.md): LOGIN, CREATEROLE and ADMIN on every profile. ``CREATE ROLE``
gives its creator ADMIN on what it makes; ``createrole_self_grant`` adds SET and INHERIT, without which it could neither
end the new role's connections nor hand on what it owns. On PostgreSQL 15 and before CREATEROLE reaches
``pg_execute_server_program``, and with it the machine: there nothing is vended.

The login runs as the profile from its first moment, by a setting of its own (``role``): what the session makes belongs
to the profile, and RESET ROLE, RESET ALL and DISCARD ALL come back to the profile, not to the login.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from blastwall.conversation import RoleOrder
from blastwall.errors import UpstreamFault

LEAST_MAJOR: Final = 16
PREFIX: Final = "bw_"
#: Only such names are ever made, altered or dropped. NAMEDATALEN - 1 is 63 bytes.
NAME: Final = re.compile(rf"{PREFIX}[a-z0-9_]{{1,60}}")
_SETTING: Final = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")
#: Settings that the vendor itself gives a role, or that would take its limits away.
RESERVED: Final = frozenset({"role", "session_authorization", "session_replication_role", "createrole_self_grant"})


def judge_version(server_version: str) -> None:
    """Raise UpstreamFault unless ``server_version``, as the server reports it ("17.10 (Debian 1)"), is 16 or later."""
    digits = re.match(r"\d+", server_version)
    if digits is None or int(digits[0]) < LEAST_MAJOR:
        raise UpstreamFault(
            f"the target runs PostgreSQL {server_version[:20]!r}: roles for single sessions need {LEAST_MAJOR} or "
            "later, because before that CREATEROLE reaches the server's machine; give the target a credential of kind "
            "static or iam, or upgrade it"
        )


def create(order: RoleOrder, verifier: str | None) -> str:
    """One text, so one transaction: the whole role or none of it. ``verifier`` is a SCRAM verifier, never a password.

    Raises ValueError for a name, a setting or a text that must not stand in it.
    """
    name = _role(order.name)
    profile = identifier(order.profile)
    until = datetime.fromtimestamp(order.expires_at, UTC).strftime("%Y-%m-%d %H:%M:%S+00")
    password = "PASSWORD NULL" if verifier is None else f"PASSWORD {literal(verifier)}"
    statements = [
        "SET LOCAL createrole_self_grant = 'set, inherit'",
        f"CREATE ROLE {name} LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS {password} "
        f"VALID UNTIL {literal(until)} CONNECTION LIMIT {int(order.connections)} "
        f"IN ROLE {', '.join((profile, *map(identifier, order.memberships)))}",
        f"ALTER ROLE {name} SET role = {literal(order.profile)}",
        *(f"ALTER ROLE {name} SET {setting(key)} = {literal(value)}" for key, value in order.settings.items()),
        f"COMMENT ON ROLE {name} IS {literal(order.comment)}",
    ]
    return ";\n".join(statements)


def disable(name: str) -> str:
    """From now on nobody logs in with it, whatever else fails."""
    return f"ALTER ROLE {_role(name)} NOLOGIN PASSWORD NULL CONNECTION LIMIT 0"


def find(name: str) -> str:
    """The role's oid; no row when it is gone."""
    _role(name)
    return f"SELECT oid FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) {literal(name)}"  # noqa: S608  # quoted


def made() -> str:
    """A row for each role of a session that whoever asks has made, and each of its memberships: name, comment, role.

    ``CREATE ROLE`` gives its creator ADMIN on what it makes, and nobody but a superuser can give or take that.
    """
    return (
        "SELECT DISTINCT r.rolname, coalesce(pg_catalog.shobj_description(r.oid, 'pg_authid'), ''), p.rolname "  # noqa: S608  # quoted
        "FROM pg_catalog.pg_roles AS r "
        "JOIN pg_catalog.pg_auth_members AS own ON own.roleid OPERATOR(pg_catalog.=) r.oid AND own.admin_option "
        "JOIN pg_catalog.pg_roles AS a ON a.oid OPERATOR(pg_catalog.=) own.member "
        "AND a.rolname OPERATOR(pg_catalog.=) current_user "
        "JOIN pg_catalog.pg_auth_members AS has ON has.member OPERATOR(pg_catalog.=) r.oid "
        "JOIN pg_catalog.pg_roles AS p ON p.oid OPERATOR(pg_catalog.=) has.roleid "
        f"WHERE pg_catalog.starts_with(r.rolname::pg_catalog.text, {literal(PREFIX)})"
    )


def backends(oid: int) -> str:
    """Pid and start of each live connection of a role, which may be gone already."""
    return (
        "SELECT pid, coalesce(backend_start::pg_catalog.text, '') FROM pg_catalog.pg_stat_activity "  # noqa: S608  # a number
        f"WHERE usesysid OPERATOR(pg_catalog.=) {int(oid)}::pg_catalog.oid"
    )


def terminate(oid: int, found: Iterable[tuple[int, str]]) -> str:
    """End exactly those connections: a pid that another session has by now is not touched."""
    them = ", ".join(f"({int(pid)}, {literal(start)})" for pid, start in found)
    return (
        "SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity AS a "  # noqa: S608  # quoted
        f"JOIN (VALUES {them}) AS b (pid, started) ON a.pid OPERATOR(pg_catalog.=) b.pid "
        "AND coalesce(a.backend_start::pg_catalog.text, '') OPERATOR(pg_catalog.=) b.started "
        f"WHERE a.usesysid OPERATOR(pg_catalog.=) {int(oid)}::pg_catalog.oid"
    )


def owned(oid: int) -> str:
    """Database ('' for what all share), how many objects there belong to the role, how many only name it in a grant."""
    return (
        "SELECT coalesce(d.datname::pg_catalog.text, ''), "  # noqa: S608  # a number
        "count(*) FILTER (WHERE s.deptype OPERATOR(pg_catalog.=) 'o'::pg_catalog.\"char\"), count(*) "
        "FROM pg_catalog.pg_shdepend AS s LEFT JOIN pg_catalog.pg_database AS d ON d.oid OPERATOR(pg_catalog.=) s.dbid "
        "WHERE s.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_authid'::pg_catalog.regclass "
        f"AND s.refobjid OPERATOR(pg_catalog.=) {int(oid)}::pg_catalog.oid GROUP BY 1"
    )


def hand_on(name: str, heir: str) -> str:
    """In the database it runs in: what the role owns is its heir's, and no grant names it any more."""
    role = _role(name)
    return f"REASSIGN OWNED BY {role} TO {identifier(heir)};\nDROP OWNED BY {role}"


def drop(name: str) -> str:
    return f"DROP ROLE {_role(name)}"


def identifier(name: str) -> str:
    """Quoted. Raises ValueError for what the server would cut or refuse."""
    if not 0 < len(name.encode()) <= 63 or "\0" in name:
        raise ValueError(f"{name!r} is not a name of 1 to 63 bytes")
    return '"' + name.replace('"', '""') + '"'


def _role(name: str) -> str:
    """A role of ours, quoted. Raises ValueError for any other: nothing else is ever altered or dropped."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a session's role")
    return identifier(name)


def literal(text: str) -> str:
    """Quoted for standard_conforming_strings = on, which the connection pins. Raises ValueError for NUL."""
    if "\0" in text:
        raise ValueError("a text for the server holds NUL")
    return "'" + text.replace("'", "''") + "'"


def setting(name: str) -> str:
    """A setting's name as it stands in ALTER ROLE ... SET. Raises ValueError for one that is not for operators."""
    if not _SETTING.fullmatch(name) or name in RESERVED:
        raise ValueError(f"{name!r} is not a setting that a session's role may be given")
    return name


def numbers(rows: Sequence[tuple[bytes | None, ...]]) -> list[int]:
    """The first column of each row as a number."""
    return [int(row[0] or b"0") for row in rows]


def advice(code: str, order: RoleOrder, admin: str) -> str:
    """What an operator does about a refusal to make a role, by SQLSTATE; "" when the server's words must do."""
    return _ADVICE.get(code, "").format(profile=order.profile, admin=admin, more=", ".join(order.memberships) or "none")


_ADVICE: Final[Mapping[str, str]] = {
    "42501": 'as superuser: ALTER ROLE "{admin}" CREATEROLE; GRANT "{profile}" TO "{admin}" WITH ADMIN TRUE, '
    "INHERIT FALSE, SET FALSE; and so for its further roles ({more})",
    "42704": 'the target has no role "{profile}" (or one of: {more}); make it: CREATE ROLE "{profile}" NOLOGIN',
}
