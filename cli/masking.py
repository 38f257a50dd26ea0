"""``blastwall masking``: propose masking rules by looking at a database."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from blastwall import registry
from blastwall.config.bundle import Bundle
from blastwall.errors import ClientFault, ConfigFault
from blastwall.masking.survey import Proposal, document, pattern_of, propose
from blastwall.model import Secret, Target
from cli.approver import Keyboard, policies
from cli.place import state_option

SUPERUSER = "postgres"  # of servers that `blastwall up` starts itself


@click.group(short_help="Propose masking rules by looking at a database.")
def command() -> None:
    """Masking rules: who sees what in place of personal data."""


@command.command(short_help="Look at a database and write rules for review.")
@click.argument("target", required=False)
@click.option(
    "--config",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The configuration directory; that of the running local gateway, else ./config.",
)
@state_option
@click.option("--dsn", metavar="URL", help="This database instead of TARGET's; the password from PGPASSWORD.")
@click.option("--database", "-d", help="The database to open instead of the target's first.")
@click.option("--rows", type=click.IntRange(1, 10_000), default=200, show_default=True, help="Of each table.")
@click.option("--seconds", type=click.IntRange(1, 3600), default=60, show_default=True, help="For all of them.")
@click.option("--all", "everything", is_flag=True, help="Also columns that masking.yaml has a rule for.")
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write here instead of standard output."
)
def scan(
    target: str | None,
    config: Path | None,
    state: Path,
    dsn: str | None,
    database: str | None,
    rows: int,
    seconds: int,
    everything: bool,
    output: Path | None,
) -> None:
    """Look at a few rows of every table of TARGET (or of --dsn) and write masking rules for a person to review.

    Names, types and comments of columns count, and what their values look like. No value is written anywhere, nothing
    is changed, and nothing is in force before you put it into masking.yaml.
    """
    place = _place(target, config, state, dsn, database)
    with _bar() as tell:
        try:
            found = registry.sampler(place.protocol)(place.url, place.password, rows, float(seconds), tell)
        except (LookupError, ValueError) as error:
            raise click.BadParameter(str(error), param_hint="--dsn" if dsn is not None else "TARGET") from None
    decided = frozenset() if everything else _decided(place.target, found.catalogue)
    proposals = [
        proposal
        for relation in found.catalogue.relations
        if relation.oid in found.values or f"{relation.schema}.{relation.name}" in found.skipped
        for proposal in propose(relation, found.values.get(relation.oid, {}), found.catalogue)
        if proposal.column not in decided
    ]
    text = document(place.name, proposals, _remarks(place, found, rows, bool(decided)))
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
    click.echo(_summary(proposals, found, output), err=True)


@dataclass(frozen=True, slots=True)
class _Place:
    """What is looked at, and for whom the rules are."""

    name: str
    protocol: str
    url: str
    password: Secret | None
    target: Target | None


def _place(name: str | None, config: Path | None, state: Path, dsn: str | None, database: str | None) -> _Place:
    bundle = _bundle(config, state) if name is not None or dsn is None else None
    target = None
    if bundle is not None:
        known = ", ".join(sorted(bundle.targets))
        if name is None and len(bundle.targets) > 1:
            raise click.UsageError(f"say which target; known are {known}")
        target = bundle.targets.get(name or next(iter(bundle.targets)))
        if target is None:
            raise click.UsageError(f"there is no target {name!r}; known are {known}")
    if dsn is not None:
        password = os.environ.get("PGPASSWORD")
        protocol = target.protocol if target is not None else "postgres"
        return _Place(
            target.name if target else "target", protocol, dsn, Secret(password) if password else None, target
        )
    assert bundle is not None and target is not None
    user, secret = _login(bundle, target, state)
    tls = getattr(target.options, "tls", None)
    query = {"sslmode": tls.mode} if tls is not None else {}
    if tls is not None and tls.ca_file is not None:
        query["sslrootcert"] = str(tls.ca_file)
    listed = getattr(target.options, "databases", ())
    chosen = database or (listed[0] if listed else target.name)
    url = f"postgresql://{quote(user, safe='')}@{target.host}:{target.port}/{quote(chosen, safe='')}?{urlencode(query)}"
    return _Place(target.name, target.protocol, url, secret, target)


def _bundle(config: Path | None, state: Path) -> Bundle:
    try:
        return policies(Keyboard(state, config, "", ()))
    except ConfigFault as fault:
        raise ClientFault(
            f"the configuration does not load; mend it, or give --dsn without TARGET:\n{fault}"
        ) from fault


def _login(bundle: Bundle, target: Target, state: Path) -> tuple[str, Secret | None]:
    """Whoever sees all tables: the superuser of a local target, else the user that agents are let in as."""
    own = state / "targets" / target.name / "superuser.password"
    if own.exists():
        return SUPERUSER, Secret(own.read_text("utf-8").strip())
    for credential in bundle.config.targets[target.name].credential:
        if credential.kind == "static":
            if credential.password_file is not None:
                return credential.user, Secret(credential.password_file.read_text("utf-8").strip())
            word = os.environ.get(credential.password_env or "")
            return credential.user, Secret(word) if word else None
    raise ClientFault(f"the configuration names no user with a password for {target.name}: give --dsn")


def _decided(target: Target | None, catalogue: Any) -> frozenset[str]:  # noqa: ANN401  # the protocol's own
    """Columns that a rule speaks of already, whatever it says."""
    if target is None or target.masking is None:
        return frozenset()
    return frozenset(
        pattern_of(relation.schema, relation.name, column.name)
        for relation, column, _ in target.masking.decided(catalogue)
    )


@contextmanager
def _bar() -> Iterator[Any]:
    """A progress bar on a terminal's standard error; nothing in a pipe."""
    columns = (
        TextColumn("looking at"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)

        def tell(done: int, total: int, name: str) -> None:
            shown = "".join(character if character.isprintable() else "?" for character in name)
            progress.update(task, completed=done, total=total, description=shown.replace("[", r"\["))

        yield tell


def _remarks(place: _Place, found: Any, rows: int, narrowed: bool) -> list[str]:  # noqa: ANN401
    looked = found.tables - len(found.skipped)
    remarks = [
        f"Proposed by `blastwall masking scan` for {place.name} on {datetime.now(UTC):%Y-%m-%d}, after a look at "
        f"{looked} of {found.tables} tables, up to {rows} rows of each.",
        "Review every rule before it goes into masking.yaml: a scan misses what it has not seen, and guesses.",
    ]
    if narrowed:
        remarks.append("Columns that masking.yaml has a rule for are left out (--all shows them).")
    remarks += [f"Not looked at, judged by name only: {name}: {reason}" for name, reason in found.skipped.items()]
    return remarks


def _summary(proposals: list[Proposal], found: Any, output: Path | None) -> str:  # noqa: ANN401
    sure = sum(proposal.sure for proposal in proposals)
    where = f" in {output}" if output is not None else ""
    skipped = f", {len(found.skipped)} of them by name only" if found.skipped else ""
    if not proposals:
        return f"{found.tables} tables{skipped}: nothing to propose{where}"
    more = f" and {len(proposals) - sure} worth a thought" if len(proposals) > sure else ""
    return f"{found.tables} tables{skipped}: {sure} rules proposed{more}{where}; review them before use"
