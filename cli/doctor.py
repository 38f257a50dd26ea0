"""``blastwall doctor``: what keeps the gateway from working, and what to do about it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from blastwall.findings import Finding, Verdict
from cli import place
from cli.account import Chosen, examine_account, paired
from cli.checks import Place, examine

COLOURS = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.UNKNOWN: "yellow", Verdict.FAIL: "bold red"}


@click.command(short_help="Find what keeps the gateway from working.")
@click.option(
    "--config",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("config"),
    show_default=True,
    help="The configuration directory.",
)
@place.state_option
@place.format_option("table", "json")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--aws", is_flag=True, help="Look at the AWS account that it is deployed to instead of this machine.")
@click.option("--region", metavar="NAME", help="With --aws: the region; the environment's own unless given.")
@click.option("--topology", type=click.Choice(["dev", "nat", "isolated"]), default="nat", show_default=True)
@click.option("--certificate", metavar="ARN", default="", help="With --aws: the listeners' certificate.")
@click.option("--keys", metavar="PROTOCOL=ARN", multiple=True, help="With --aws: the secret of a listener's keys.")
@click.option("--event-store", metavar="ARN", default="", help="With --aws: a CloudTrail Lake store.")
@click.option("--cluster", "clusters", metavar="NAME=ROLE", multiple=True, help="With --aws: an EKS cluster.")
@click.option("--dsn", "addresses", metavar="TARGET=URL", multiple=True, help="With --aws: a target to ask.")
def command(
    config: Path,
    state: Path,
    form: str,
    as_json: bool,
    aws: bool,
    region: str | None,
    topology: str,
    certificate: str,
    keys: tuple[str, ...],
    event_store: str,
    clusters: tuple[str, ...],
    addresses: tuple[str, ...],
) -> int:
    """Look at everything the gateway needs. Exit code 1 when something fails; warnings do not count."""
    if aws:
        chosen = Chosen(region, topology, certificate, event_store, paired(keys), paired(clusters), paired(addresses))
        findings = examine_account(config, chosen)
    else:
        findings = examine(Place(config, state, time.time()))
    if as_json or form == "json":
        place.echo_json(*map(asdict, findings))
    else:
        place.console().print(table(findings))
    return 1 if any(finding.verdict is Verdict.FAIL for finding in findings) else 0


def table(findings: Sequence[Finding]) -> Table:
    """The findings for a terminal; texts are shown as they are, never read as markup."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("", "check", "found", "what to do"):
        shown.add_column(title, overflow="fold")
    for finding in findings:
        shown.add_row(
            Text(finding.verdict, style=COLOURS[finding.verdict]),
            Text(finding.title),
            Text(finding.found),
            Text(finding.advice),
        )
    return shown
