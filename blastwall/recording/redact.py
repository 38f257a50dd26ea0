"""Secrets out of what is recorded: where they stand in a statement is found by the server's own lexer, never by regex."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from blastwall.model import Parameter, Secret


@dataclass(frozen=True, slots=True)
class Redacted:
    """A statement without its secrets. ``removed`` are the secrets' bytes, so that answers to it can be cleared of them."""

    text: str
    parameters: tuple[Parameter, ...]
    removed: tuple[bytes, ...] = ()


class Redactor:
    """Finds secrets in statements. ``known`` secrets are found by value wherever they stand."""

    def __init__(self, known: Iterable[Secret] = ()) -> None:
        self._known = tuple(secret.reveal() for secret in known if secret.reveal())

    def suspects(self, text: str, parameters: tuple[Parameter, ...]) -> bool:
        """The cheap first look: False when the statement cannot hold anything that is looked for."""
        raise NotImplementedError

    def redact(self, text: str, parameters: tuple[Parameter, ...]) -> Redacted:
        """Replace secrets by ``***``; a text that does not parse is replaced by its length and SHA-256."""
        raise NotImplementedError

    def scrub(self, text: bytes, removed: tuple[bytes, ...] = ()) -> bytes:
        """Replace known secrets, token shapes and what was removed from the statement, in JSON bytes."""
        raise NotImplementedError

    def blank(self, data: bytes, removed: tuple[bytes, ...]) -> bytes:
        """Overwrite secrets with as many asterisks, so that the framing of wire bytes stays whole."""
        raise NotImplementedError
