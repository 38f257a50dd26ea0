"""The ``blastwall`` command: one file per verb, loaded only when it is asked for.

Exit codes say whose fault it was: 0 done, 1 the answer is no (a check failed, a refusal), 2 the command line or the
configuration, 3 Blastwall itself, 4 the client's side (a token, for one), 5 the target, 130 interrupted.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click

from blastwall.errors import ClientFault, ConfigFault, Fault, OurFault, UpstreamFault

VERBS: Mapping[str, str] = {
    "up": "Start a local gateway with the targets of a configuration.",
    "token": "Make a token for an agent of the local gateway.",
    "login": "Sign in at a SAML identity provider, for a token of the gateway's own.",
    "connect": "Open a target with its own client, through the gateway.",
    "proxy": "Give clients that cannot send a token a local port that does.",
    "approvals": "See, approve and deny what agents ask for.",
    "undo": "Bring back what an approved change overwrote.",
    "agents": "See who has used the gateway; lock an agent out, or let it in again.",
    "sessions": "See and end live sessions.",
    "ssh": "Get certificates for stock ssh clients, and print their configuration.",
    "recordings": "List, verify, replay, follow and export recordings.",
    "audit": "Read audit events, and ask them questions in SQL.",
    "aws": "AWS credentials that end with a session.",
    "policy": "Judge statements and check policies without running anything.",
    "masking": "Propose masking rules by looking at a database.",
    "doctor": "Find out what keeps the gateway from working, and what to do about it.",
}

EXIT_CODES: Mapping[type[Fault], int] = {ConfigFault: 2, OurFault: 3, ClientFault: 4, UpstreamFault: 5, Fault: 3}
INTERNAL_ERROR = 3
INTERRUPTED = 130
BROKEN_PIPE = 141


class Verbs(click.Group):
    """A group whose commands are ``command`` in ``cli.<verb>``; listing them imports none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        with _undisturbed():
            command = importlib.import_module(f"cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C waits until a verb is loaded: libraries call back from where an exception is printed and forgotten.

    A handler, because a mask is no help where another thread takes the signal: Python runs its handlers in this one.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    pressed: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            raise KeyboardInterrupt


def version() -> str:
    """The installed version, or one that says that there is none."""
    try:
        return importlib.metadata.version("blastwall")
    except importlib.metadata.PackageNotFoundError:
        return "0+not.installed"


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version(), prog_name="blastwall")
def blastwall() -> None:
    """The gateway that contains what an AI agent can break.

    Start with `blastwall up`, then `blastwall connect TARGET`.
    """


def exit_code(fault: Fault) -> int:
    """By whose fault it is; the closest class in :data:`EXIT_CODES` counts."""
    return next(EXIT_CODES[kind] for kind in type(fault).__mro__ if kind in EXIT_CODES)


def harmless(message: str) -> str:
    """A message that may quote what a server or an agent said: nothing in it moves the cursor or hides."""
    return "".join(letter if letter == "\n" or letter.isprintable() else f"\\x{ord(letter):02x}" for letter in message)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; messages go to standard error, never a traceback for a fault."""
    output = sys.stdout
    try:
        result = blastwall.main(args=arguments, prog_name="blastwall", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return int(done.exit_code)
    except click.ClickException as mistake:
        mistake.show()
        return mistake.exit_code
    except Fault as fault:
        click.echo(f"blastwall: {harmless(str(fault))}", err=True)
        return exit_code(fault)
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:  # the reader has enough (`blastwall audit ls | head`), and it shows only now, at the flush
        # Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except SystemExit:
        # Or click noticed it first: it muffles the output and leaves with 1, which is our "the answer is no".
        if sys.stdout is not output:
            return BROKEN_PIPE
        raise
    except OSError as fault:  # a disk that is full, a directory where a file was: no defect of ours
        if fault.filename is None or os.environ.get("BLASTWALL_TRACEBACK"):
            return _unforeseen(fault)
        click.echo(f"blastwall: {harmless(str(fault.filename))} cannot be used: {fault.strerror}", err=True)
        return INTERNAL_ERROR
    except Exception as error:  # noqa: BLE001  # the last resort of a program: say what to report instead of a stack
        return _unforeseen(error)
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def _unforeseen(error: Exception) -> int:
    """Tell of an error that nobody foresaw, and what to report."""
    click.echo(f"blastwall: internal error: {type(error).__name__}: {error}", err=True)
    if os.environ.get("BLASTWALL_TRACEBACK"):
        traceback.print_exception(error)
    else:
        click.echo("Set BLASTWALL_TRACEBACK=1 and run it again to see where; please report it.", err=True)
    return INTERNAL_ERROR


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
