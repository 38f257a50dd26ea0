"""How clients name the gateway: the same connection in the words of each of them. No secret is ever part of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Door:
    """One target as clients see it. ``login`` is ``TARGET`` or ``DATABASE_USER@TARGET``; the password is a token."""

    host: str
    port: int
    database: str
    login: str
    ca: Path

    @classmethod
    def at(cls, address: str, database: str, login: str, ca: Path) -> Door:
        """From a listener's ``host:port``. Raises ValueError for what is none."""
        host, port = parted(address)
        return cls(host, port, database, login, ca)


def parted(address: str) -> tuple[str, int]:
    """Host and port of ``host:port``; an IPv6 address may stand in brackets. Raises ValueError for what is neither."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isascii() or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise ValueError(f"{address!r} is not HOST:PORT, such as 127.0.0.1:7432 or [::1]:7432")
    return host, int(port)


def libpq(door: Door) -> str:
    """A connection URI for psql, psycopg and everything else on libpq."""
    return f"postgresql://{_uri(door)}?sslmode=verify-full&sslrootcert={quote(str(door.ca))}"


def postgres(door: Door) -> Mapping[str, str]:
    """Client -> what to give it."""
    ca = quote(str(door.ca))
    login = quote(door.login, safe="")
    jdbc = f"jdbc:postgresql://{_place(door)}?user={login}&sslmode=verify-full&sslrootcert={ca}"
    return {
        "psql": f"psql '{libpq(door)}'",
        "psycopg": f'psycopg.connect("{libpq(door)}")',
        "SQLAlchemy": f'create_engine("{libpq(door).replace("postgresql:", "postgresql+psycopg:", 1)}")',
        "JDBC": jdbc,
        "node-postgres": f'new Client("postgresql://{_uri(door)}?sslmode=verify-full&sslrootcert={ca}")',
    }


def ssh(door: Door) -> Mapping[str, str]:
    """Client -> what to type, once ``blastwall ssh login`` was run and ``blastwall ssh config`` is in ~/.ssh/config."""
    return {
        "ssh": f"ssh {door.login}@gateway",
        "scp": f"scp FILE {door.login}@gateway:",
        "sftp": f"sftp {door.login}@gateway",
    }


def _uri(door: Door) -> str:
    return f"{quote(door.login, safe='')}@{_place(door)}"


def _place(door: Door) -> str:
    host = f"[{door.host}]" if ":" in door.host else door.host
    return f"{host}:{door.port}/{quote(door.database, safe='')}"
