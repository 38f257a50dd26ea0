"""Who reads recordings, what policy says to that, and the record of it.

A reader is a token's bearer: of the agents' audience or of that with ``/recordings`` behind it, verified as any. With
none it is whoever runs the command, by a token of the local issuer. On this machine that is book-keeping, not a
barrier: who can open the state directory can read the files and sign such tokens. Keep it to its owner (it is made so).
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from blastwall.audit.journal import note
from blastwall.config.bundle import Bundle
from blastwall.errors import ClientFault, TokenFault
from blastwall.identity.jwks import FetchedKeys, FixedKeys
from blastwall.local.clock import SystemClock
from blastwall.local.fetch import fetch
from blastwall.local.recorder import LocalRecorder
from blastwall.local.recordings import Entry
from blastwall.local.signer import load_signer
from blastwall.local.verifier import TokenVerifier
from blastwall.model import Denial, Principal, Secret, Target
from blastwall.recording.reader import read_header
from blastwall.recording.records import Header
from cli import place
from cli.approver import Keyboard, policies

TOKEN_VARIABLE = "BLASTWALL_TOKEN"  # noqa: S105  # the variable's name
AUDIENCE = "/recordings"
TOKEN_SECONDS = 60.0
MAX_TOKEN_FILE = 64 * 1024  # bytes
READING = "read-"  # how the ids of recordings begin that only tell that a recording was read


class NotForYou(ClientFault):
    """Policy does not let this reader read this recording."""


@dataclass(slots=True)
class Reader:
    """Decides what may be read, and records that it was, or was to be. Nothing is shown that could not be recorded."""

    keyboard: Keyboard
    token_file: Path | None
    _known: tuple[Bundle, Principal, str] | None = None

    def open(self, entry: Entry, how: str) -> Header:
        """The recording's header, once it is on record that this reader reads it.

        Raises NotForYou, TokenFault, RecordingFault, and FormatFault for what is no recording.
        """
        with entry.open() as file:
            header = read_header(file)
        self.admit(header, how)
        return header

    def admit(self, header: Header, how: str) -> None:
        """As :meth:`open`, of a header that was read elsewhere. Raises NotForYou, TokenFault, RecordingFault."""
        _, who, known_by = self._identified()
        denial = self.refusal(header)
        fields: dict[str, object] = {
            "recording": header.recording,
            "session": header.session,
            "agent": str(header.raw["principal"].get("agent")),
            "how": how,
            "known_by": known_by,
        }
        if denial is not None:
            fields |= {"denial": str(denial.code), "reason": denial.reason}
        self._note(who, fields, str(header.raw["target"].get("name")))
        if denial is not None:
            raise NotForYou(f"{denial.reason}." + (f" {denial.hint}" if denial.hint else ""))

    def refusal(self, header: Header) -> Denial | None:
        """What policy says to this reader reading this recording; nothing is put on record."""
        bundle, who, _ = self._identified()
        return bundle.policies.may_read_recording(who, _owner(header), _target(header, bundle))

    def listed(self, count: int) -> None:
        """Put on record that so many recordings were listed."""
        _, who, known_by = self._identified()
        self._note(who, {"how": "list", "recordings": count, "known_by": known_by}, "blastwall")

    def _note(self, who: Principal, fields: Mapping[str, object], at: str) -> None:
        state, clock = self.keyboard.state, SystemClock()
        recorder = LocalRecorder(
            state, clock, signer=load_signer(state / "keys"), new_id=lambda: READING + secrets.token_hex(8)
        )
        try:
            asyncio.run(note(recorder, clock, who, "recording_read", fields, at))
        finally:
            recorder.close()

    def _identified(self) -> tuple[Bundle, Principal, str]:
        if self._known is None:
            bundle = policies(self.keyboard)
            token = self._token()
            if token is None:
                self._known = bundle, self._operator(), "the state directory"
            else:
                self._known = bundle, asyncio.run(_verified(token, bundle, self.keyboard.state)), "a token"
        return self._known

    def _token(self) -> Secret | None:
        if self.token_file is not None:
            with self.token_file.open("rb") as file:
                text = file.read(MAX_TOKEN_FILE).decode("utf-8", "replace")
        else:
            text = os.environ.get(TOKEN_VARIABLE, "")
        return Secret(text.strip()) if text.strip() else None

    def _operator(self) -> Principal:
        """Whoever runs this, by the local issuer's key. Raises TokenFault for a name that no token may have."""
        with place.local_issuer(self.keyboard.state) as local:
            audience = local.audience + AUDIENCE
            token = local.mint(self.keyboard.name, self.keyboard.groups, ttl=TOKEN_SECONDS, aud=audience)
            keys = FixedKeys(local.key_set())
        verifier = TokenVerifier([(local.rules(audience), keys)], SystemClock())
        return asyncio.run(verifier.verify(Secret(token)))


def _reader(given: dict[str, Any]) -> Reader:
    keyboard = Keyboard(given["state"], given.pop("config"), given.pop("name"), given.pop("groups"))
    return Reader(keyboard, given.pop("token_file"))


#: The options that say who reads, and by which policies; they arrive as ``reader``, beside ``state``.
options = place.gathered(
    "reader",
    _reader,
    click.option(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help=f"The reader's token.  [default: ${TOKEN_VARIABLE}, or else you by the local issuer]",
    ),
    *place.deciding("Who reads, without a token"),
)


async def _verified(token: Secret, bundle: Bundle, state: Path) -> Principal:
    """The bearer of a token for reading, or of one for the gateway. Raises TokenFault."""
    clock = SystemClock()
    with place.local_issuer(state) as local:
        nearby, nearby_keys = local.issuer, FixedKeys(local.key_set())
    first: TokenFault | None = None
    for suffix in (AUDIENCE, ""):
        issuers = []
        for issuer in bundle.config.identity.issuers:
            rules = replace(issuer.rules(), audience=issuer.audience + suffix)
            near = issuer.issuer == nearby  # its keys are here, whether or not `blastwall up` runs
            far = FetchedKeys(rules, fetch, clock.monotonic, jwks_uri=issuer.jwks_url)
            issuers.append((rules, nearby_keys if near else far))
        try:
            return await TokenVerifier(issuers, clock).verify(token)
        except TokenFault as fault:
            first = first or fault
    assert first is not None
    raise first


def _owner(header: Header) -> Principal:
    said = header.raw["principal"]
    groups = said.get("groups")
    person = said.get("on_behalf_of")
    return Principal(
        str(said.get("issuer")),
        str(said.get("subject")),
        str(said.get("agent")),
        frozenset(map(str, groups)) if isinstance(groups, list) else frozenset(),
        None if person is None else str(person),
    )


def _target(header: Header, bundle: Bundle) -> Target:
    """The target as it is configured now, or as the recording describes it when it is gone."""
    said = header.raw["target"]
    name, labels = str(said.get("name")), said.get("labels")
    known = bundle.targets.get(name)
    if known is not None:
        return known
    told = {str(key): str(value) for key, value in labels.items()} if isinstance(labels, dict) else {}
    return Target(name, header.protocol, str(said.get("host")), 0, told)
