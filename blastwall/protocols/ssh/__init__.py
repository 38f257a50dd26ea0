"""SSH: commands, shells and files on hosts. ``PROTOCOL`` is all that anyone outside this folder needs.

What a caller does not use is not imported: checking a configuration must not load the library.
"""

from __future__ import annotations

import importlib
import socket
import tomllib
from collections.abc import Callable
from importlib.resources import files

from blastwall.conversation import Conversation, Host, Manifest, ProtocolSpec
from blastwall.model import Facts
from blastwall.protocols.ssh.options import Options


def _manifest() -> Manifest:
    raw = tomllib.loads((files(__package__) / "protocol.toml").read_text("utf-8"))
    return Manifest(raw["name"], raw["port"], raw)


def _judge(text: str, parameters: tuple[str | None, ...], catalogue: object, options: Options, *_: object) -> Facts:
    from blastwall.protocols.ssh.classify import classify

    return classify(text, options).facts


def _load_catalogue(path: str) -> None:
    raise LookupError("ssh has no catalogue: lines are judged by what they name")


def _converse(sock: socket.socket, host: Host) -> Conversation:
    from blastwall.protocols.ssh.conversation import SshConversation

    return SshConversation(sock, host)


def _start() -> Callable[[], None]:
    """Load the library now: the first client should not wait for it."""
    importlib.import_module("blastwall.protocols.ssh.conversation")
    return lambda: None


PROTOCOL = ProtocolSpec(_manifest(), Options, _judge, _load_catalogue, _converse, _start)
