"""``blastwall token``: a token for an agent, from the local issuer."""

from __future__ import annotations

import re
from pathlib import Path

import click
import jwt

from cli import place
from rig import running


class Duration(click.ParamType[int]):
    """Seconds from ``90``, ``90s``, ``15m``, ``1h`` or ``2d``."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Whole seconds, at least one."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"([0-9]{1,9})([smhd]?)", str(value))
        if found is None or int(found[1]) == 0:
            self.fail(f"{value!r} is not a duration such as 90s, 15m, 1h or 2d", param, ctx)
        return int(found[1]) * place.UNITS[found[2] or "s"]


@click.command(short_help="Make a token for an agent.")
@click.option("--agent", required=True, help="The agent's name.")
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="A group of the agent; may be given again.")
@click.option("--on-behalf-of", metavar="PERSON", help="The person whom the agent works for.")
@click.option("--ttl", type=Duration(), default="1h", show_default=True, help="How long the token lives.")
@place.state_option
@place.format_option("text", "json")
def command(agent: str, groups: tuple[str, ...], on_behalf_of: str | None, ttl: int, state: Path, form: str) -> None:
    """Print a token of the local issuer, and nothing else: export BLASTWALL_TOKEN=$(blastwall token --agent me)."""
    if not agent.strip():
        raise click.BadParameter("an agent has a name", param_hint="--agent")
    with place.local_issuer(state) as issuer:
        token = issuer.mint(agent, groups, on_behalf_of, ttl)
        name, audience = issuer.issuer, issuer.audience
    if running.read(state) is None:
        click.echo(f"no gateway runs with {state}: until `blastwall up` does, this token opens nothing", err=True)
    if form == "json":
        expires_at = jwt.decode(token, options={"verify_signature": False})["exp"]  # it was signed just above
        place.echo_json({"token": token, "issuer": name, "audience": audience, "expires_at": expires_at})
    else:
        click.echo(token)
