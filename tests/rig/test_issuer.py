"""The local issuer: what it signs verifies by fetched keys, and its files are closed to others."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import urllib.request

import pytest

from blastwall.errors import TokenFault, UpstreamFault
from blastwall.identity.jwks import FetchedKeys
from blastwall.identity.jwt import verify
from blastwall.local.clock import ManualClock
from blastwall.local.fetch import fetch
from blastwall.model import Secret
from rig.issuer import KEPT, LocalIssuer


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def issuer(tmp_path, clock):
    issuer = LocalIssuer.open(tmp_path, port=0, clock=clock.now)
    yield issuer
    issuer.stop()


def check(issuer: LocalIssuer, token: str, now: float, **rules: str):
    return verify(Secret(token), issuer.rules(**rules), issuer.key_set(), now)


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
def test_a_minted_token_says_what_was_asked(issuer, clock, algorithm):
    token = issuer.mint("reporter", ["agents", "analysts", "agents"], "alice", ttl=90, algorithm=algorithm)
    found = check(issuer, token, clock.now())
    assert (found.agent, found.subject, found.on_behalf_of) == ("reporter", "reporter", "alice")
    assert found.groups == {"agents", "analysts"}
    assert found.expires_at - found.issued_at == 90
    with pytest.raises(TokenFault, match="expired"):
        check(issuer, token, clock.now() + 90)


def test_every_token_is_another_one(issuer):
    assert issuer.mint("a") != issuer.mint("a")


def test_overrides_change_and_drop_claims(issuer, clock):
    assert check(issuer, issuer.mint("a", sub="b"), clock.now()).subject == "b"
    with pytest.raises(TokenFault, match="no 'aud'"):
        check(issuer, issuer.mint("a", aud=None), clock.now())


def test_an_approvers_token_opens_no_gateway_and_an_agents_token_approves_nothing(issuer, clock):
    approver = issuer.mint("bob", ["owners"], aud=issuer.approver_audience)
    assert check(issuer, approver, clock.now(), audience=issuer.approver_audience).agent == "bob"
    with pytest.raises(TokenFault, match="another audience"):
        check(issuer, approver, clock.now())
    with pytest.raises(TokenFault, match="another audience"):
        check(issuer, issuer.mint("bob", ["owners"]), clock.now(), audience=issuer.approver_audience)


@pytest.mark.parametrize(
    "bad", [{"ttl": 0}, {"ttl": 0.5}, {"ttl": float("nan")}, {"algorithm": "HS256"}, {"algorithm": "none"}]
)
def test_tokens_that_make_no_sense_are_not_minted(issuer, bad):
    with pytest.raises(ValueError, match=r"must be|at least"):
        issuer.mint("a", **bad)


def test_tokens_live_through_a_rotation_and_not_through_many(issuer, clock):
    old = issuer.mint("a")
    kid = issuer.rotate()
    assert json.loads(issuer.jwks())["keys"][0]["kid"] == kid
    assert check(issuer, old, clock.now()).agent == "a"
    assert check(issuer, issuer.mint("b"), clock.now()).agent == "b"
    for _ in range(KEPT - 1):
        issuer.rotate()
    with pytest.raises(TokenFault, match="does not publish"):
        check(issuer, old, clock.now())


def test_keys_and_address_outlive_the_process(issuer, tmp_path, clock):
    issuer.serve()
    token = issuer.mint("a")
    again = LocalIssuer.open(tmp_path, clock=clock.now)
    assert again.issuer == issuer.issuer
    assert check(again, token, clock.now()).agent == "a"


def test_many_processes_that_open_it_first_agree_on_one_key(tmp_path):
    program = "import sys, pathlib; from rig.issuer import LocalIssuer; print(LocalIssuer.open(pathlib.Path(sys.argv[1])).jwks().decode())"
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert len({process.communicate(timeout=60)[0] for process in started}) == 1
    assert [process.returncode for process in started] == [0, 0, 0]


def test_private_keys_are_readable_by_their_owner_only(issuer, tmp_path):
    LocalIssuer.open(tmp_path / "new" / "state")
    assert (tmp_path / "new" / "state").stat().st_mode & 0o777 == 0o700
    file = tmp_path / "issuer" / "issuer.json"
    assert (file.parent.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
    file.chmod(0o640)
    with pytest.raises(PermissionError, match="chmod 600"):
        issuer.mint("a")


def test_nothing_private_is_published(issuer):
    for key in json.loads(issuer.jwks())["keys"]:
        assert set(key) <= {"kty", "crv", "x", "y", "n", "e", "kid", "use", "alg"}


async def test_the_gateways_own_fetch_finds_the_keys_by_discovery(issuer, clock):
    issuer.serve()
    source = FetchedKeys(issuer.rules(), fetch, clock.monotonic)
    found = verify(Secret(issuer.mint("reporter")), issuer.rules(), await source.current(), clock.now())
    assert found.issuer == issuer.issuer
    issuer.mint("x", algorithm="EdDSA")  # a key made while it serves is published at once
    clock.advance(60)
    keys = await source.after_unknown("a new one")
    assert {key.algorithm for key in keys.keys} == {"ES256", "EdDSA"}


async def test_other_paths_and_methods_are_refused(issuer):
    issuer.serve()
    with pytest.raises(UpstreamFault, match="404"):
        await fetch(f"{issuer.issuer}/issuer.json", 1000)
    request = urllib.request.Request(f"{issuer.issuer}/jwks", data=b"x", method="POST")
    with pytest.raises(urllib.error.HTTPError, match="405"):
        await asyncio.to_thread(urllib.request.urlopen, request, timeout=5)


def test_it_listens_on_loopback_only(issuer):
    issuer.serve()
    port = int(issuer.issuer.rpartition(":")[2])
    listening = subprocess.run(["cat", "/proc/net/tcp", "/proc/net/tcp6"], capture_output=True, text=True, check=True)
    local = [line.split()[1] for line in listening.stdout.splitlines() if line.split()[3:4] == ["0A"]]
    assert [address for address in local if address.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def test_a_taken_port_is_exchanged_for_another(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        issuer = LocalIssuer.open(tmp_path, port=port)
        issuer.serve()
        try:
            assert not issuer.issuer.endswith(f":{port}")
            with urllib.request.urlopen(f"{issuer.issuer}/jwks", timeout=5) as answer:
                assert answer.read() == issuer.jwks()
        finally:
            issuer.stop()


def test_silent_clients_do_not_keep_others_out(issuer):
    issuer.serve()
    port = int(issuer.issuer.rpartition(":")[2])
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
    try:
        with urllib.request.urlopen(f"{issuer.issuer}/jwks", timeout=5) as answer:
            assert answer.status == 200
    finally:
        for connection in silent:
            connection.close()


def test_stopping_frees_the_port_and_serving_again_takes_it(issuer):
    issuer.serve()
    first = issuer.issuer
    issuer.stop()
    issuer.stop()
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{first}/jwks", timeout=5)
    issuer.serve()
    assert issuer.issuer == first


def test_a_state_directory_that_cannot_be_made_is_an_os_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        LocalIssuer.open(tmp_path / "file")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
