from __future__ import annotations

import pytest

from blastwall.model import Effect
from blastwall.protocols.ssh import PROTOCOL
from blastwall.protocols.ssh.options import Options


def test_requests_are_judged_without_a_connection() -> None:
    assert PROTOCOL.judge("exec: ls", (), None, Options()).effect is Effect.READ
    assert PROTOCOL.judge("exec: rm x", (), None, Options()).effect is Effect.DESTROY
    assert PROTOCOL.judge("ls", (), None, Options()).effect is Effect.UNKNOWN


def test_the_manifest() -> None:
    assert (PROTOCOL.manifest.name, PROTOCOL.manifest.port) == ("ssh", 22)
    assert PROTOCOL.manifest.raw["encrypts"] is True


def test_there_is_no_catalogue() -> None:
    with pytest.raises(LookupError):
        PROTOCOL.load_catalogue("x")
