from __future__ import annotations

import gc

from blastwall.protocols.ssh.allowance import Allowance, Share, allowance_of


def test_what_is_recorded_is_the_beginning() -> None:
    share = Share(100, Allowance(1000))
    assert share.take(60)
    assert not share.take(60)
    assert not share.take(1), "no piece from further behind"


def test_files_share_what_their_session_may() -> None:
    session = Allowance(100)
    one, other = Share(80, session), Share(80, session)
    assert one.take(80)
    assert not other.take(30)
    assert Share(80, session).take(20)


def test_without_limits_all_is_recorded() -> None:
    assert Share(0, None).take(10**12)
    assert not Share(0, Allowance(10**12)).take(1)


def test_connections_of_a_session_share_one_allowance() -> None:
    shared: dict[str, object] = {}
    one = allowance_of("s-1", 100, shared)
    assert allowance_of("s-1", 100, shared) is one
    assert allowance_of("s-2", 100, shared) is not one
    one.take(100)
    del one
    gc.collect()
    assert allowance_of("s-1", 100, shared).take(100), "a session that ended is forgotten"
