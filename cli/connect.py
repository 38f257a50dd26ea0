"""``blastwall connect``: a target's own client, through the gateway."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from typing import NoReturn

import click

from blastwall import registry
from blastwall.errors import ClientFault
from blastwall.model import Secret
from cli import door
from cli.strings import Door
from rig.postgres import RigFault, psql_path

#: What a client is told about TLS, by protocol: in its environment, beside the token.
TLS: Mapping[str, Callable[[Door], Mapping[str, str]]] = {
    "postgres": lambda place: {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(place.ca)},
}


@click.command(short_help="Open a target with its own client.")
@click.argument("target")
@click.option("--database", "-d", help="The database to open instead of the target's first.")
@click.option("--user", "-u", help="The database user to be, instead of the target's default.")
@door.way_options
@door.agent_options
@click.argument("client_arguments", nargs=-1, type=click.UNPROCESSED)
def command(
    target: str,
    database: str | None,
    user: str | None,
    way: door.Way,
    agent: door.Agent,
    client_arguments: tuple[str, ...],
) -> None:
    """Open TARGET with its own client (psql for PostgreSQL), through the gateway.

    The token is $BLASTWALL_TOKEN or, with a local gateway, one made for --agent. What follows -- goes to the client:

        blastwall connect shop -- -c 'SELECT 1'
    """
    protocol, place = door.find(way, target, database=database, user=user)
    token = door.Tokens(way, agent).get()
    if protocol == "ssh":
        _ssh(way, place, token, client_arguments)
    argv, secret_variable = command_line(protocol, place)
    environment = {**os.environ, **TLS[protocol](place), secret_variable: token.reveal()}
    environment.pop(door.TOKEN_VARIABLE, None)
    try:
        os.execve(argv[0], [*argv, *client_arguments], environment)  # the terminal and the exit status are the client's
    except OSError as fault:
        raise ClientFault(f"cannot run {argv[0]}: {fault.strerror}") from fault


def _ssh(way: door.Way, place: Door, token: Secret, client_arguments: tuple[str, ...]) -> NoReturn:
    """Stock ssh takes no token: it gets a certificate, which is kept beside the local gateway's own files."""
    from cli.ssh import obtain

    files = obtain(way, token, way.state / "ssh-client")
    program = find_program("ssh")
    argv = [program, *files.options, "-p", str(place.port), "-l", place.login, place.host, *client_arguments]
    environment = {name: value for name, value in os.environ.items() if name != door.TOKEN_VARIABLE}
    try:
        os.execve(program, argv, environment)
    except OSError as fault:
        raise ClientFault(f"cannot run {program}: {fault.strerror}") from fault


def command_line(protocol: str, place: Door) -> tuple[list[str], str]:
    """The client's command line (its first word a path), and the variable that its secret travels in."""
    client = registry.protocol(protocol).manifest.raw["client"]
    values = {"host": place.host, "port": str(place.port), "database": place.database, "user": place.login}
    program, *arguments = client["argv"]
    filled = [argument.format_map({name: quoted(value) for name, value in values.items()}) for argument in arguments]
    return [find_program(program), *filled], client["secret_variable"]


def quoted(value: str) -> str:
    """A value in a libpq connection string (PostgreSQL, section 32.1.1.1)."""
    if re.fullmatch(r"[\w.@:/-]+", value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def find_program(name: str) -> str:
    """The client on the PATH, or the psql that comes with the rig. Raises ClientFault when there is neither."""
    found = shutil.which(name)
    if found is not None:
        return found
    if name == "psql":
        try:
            return str(psql_path())
        except RigFault:
            pass
    package = {"psql": "postgresql-client", "ssh": "openssh-client"}.get(name, name)
    raise ClientFault(f"{name} is not installed (Debian, Ubuntu: apt-get install {package})")
