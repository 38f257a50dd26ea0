"""``make demo``: an agent in a shop's database, contained. Exit code 0 when every promise held, 1 otherwise."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from demo.promises import Promises
from demo.stage import Stage, StageFault
from demo.story import Story

WIDTH = 110
ABOUT = """\
Blastwall is a gateway: an AI agent connects to it instead of the database, with the clients it has. Here the agent's \
own role owns every table of a shop, so the database would let it do anything.
Each ✓ was looked up: in the database, past the gateway, or in what was recorded."""


def main() -> int:
    """Tell the story and count."""
    console = Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else WIDTH)
    promises = Promises(console)
    began = time.monotonic()
    console.print(Panel(Text(ABOUT)))
    try:
        with Stage(console.width) as stage:
            seconds = time.monotonic() - began
            console.print(f"blastwall up: PostgreSQL, issuer, certificates and gateway, ready after {seconds:.1f} s")
            Story(stage, promises, console).tell()
            console.print()
            promises.check("everything stops cleanly", stage.stop(), 0)
        _deployed(promises, console)
    except StageFault as fault:
        promises.fail("the stage is set", str(fault))
    except KeyboardInterrupt:
        promises.fail("the story is told to its end", "interrupted")
    console.print()
    seconds = time.monotonic() - began
    if promises.broken:
        console.print(Text(f"{len(promises.broken)} of the promises did not hold:", style="bold red"))
        for name in promises.broken:
            console.print(Text(f"  {name}", style="red"))
        return 1
    console.print(Text(f"All {promises.kept} promises held, in {seconds:.0f} s.", style="bold green"))
    return 0


def _deployed(promises: Promises, console: Console) -> None:
    title = "10. As AWS gets it: our own stacks and roles, in an emulated account"
    console.print()
    console.rule(Text(title, style="bold"), align="left")
    if sys.platform != "linux":
        console.print("  left out: the emulated account needs Linux (docs/rig.md)")
        return
    from demo.deployed import tell  # here: AWS's library takes its time to load

    try:
        tell(promises, console)
    except Exception as error:  # noqa: BLE001  # whatever it is, the promise of this act was not kept
        promises.fail("the deployed system does what it promises", f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    sys.exit(main())
