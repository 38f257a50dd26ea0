"""The leg to the database against real servers: TLS checks, authentication, cancel."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from blastwall.errors import UpstreamFault
from blastwall.model import Credential, Secret
from blastwall.protocols.postgres import messages, replies
from blastwall.protocols.postgres.link import Link, Route, cancel, open_link
from blastwall.protocols.postgres.upstream import Run
from blastwall.wire.tcp import IDLE_SECONDS
from blastwall.wire.wire import Signal
from rig.certificates import Certificates, ensure_certificates
from rig.postgres import EmbeddedPostgres


def route(server: EmbeddedPostgres, mode: str, ca: Path | None = None) -> Route:
    return Route("127.0.0.1", server.port, mode, str(ca) if ca else None)


def credential(server: EmbeddedPostgres) -> Credential:
    return Credential(server.superuser, Secret(server.password), "static")


async def opened(server: EmbeddedPostgres, way: Route, who: Credential | None = None) -> tuple[Link, Signal]:
    signal = Signal(asyncio.get_running_loop())
    async with asyncio.timeout(10):
        link = await open_link(way, {"database": "postgres"}, who or credential(server), signal)
    return link, signal


async def runs(link: Link, signal: Signal) -> list[Run]:
    """The server's answer up to ReadyForQuery."""
    found: list[Run] = []
    async with asyncio.timeout(10):
        while not found or found[-1].type != ord("Z"):
            event = link.up.next_event()
            if event is None:
                await signal.wait()
            else:
                assert isinstance(event, Run)
                found.append(event)
    return found


async def test_a_verified_server_answers(postgres17: EmbeddedPostgres, certificates: Certificates) -> None:
    link, signal = await opened(postgres17, route(postgres17, "verify-full", certificates.ca))
    assert link.wire.transport.get_extra_info("ssl_object") is not None
    own = link.wire.transport.get_extra_info("socket")
    assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == IDLE_SECONDS, "a server that is gone is noticed"
    link.wire.write(messages.query(b"SELECT 41 + 1"))
    rows = [replies.data_row(run.data) for run in await runs(link, signal) if run.type == ord("D")]
    assert rows == [(b"42",)]
    link.wire.close()


async def test_a_process_that_was_given_a_bundle_of_authorities_trusts_it_for_targets_that_name_none(
    postgres17: EmbeddedPostgres, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLASTWALL_CA_BUNDLE", str(certificates.ca))
    link, _ = await opened(postgres17, route(postgres17, "verify-full"))
    link.wire.close()
    monkeypatch.setenv("BLASTWALL_CA_BUNDLE", "/nowhere/rds-ca.pem")
    with pytest.raises(UpstreamFault, match=r"the CA file /nowhere/rds-ca\.pem cannot be read"):
        await opened(postgres17, route(postgres17, "verify-full"))
    monkeypatch.delenv("BLASTWALL_CA_BUNDLE")
    with pytest.raises(UpstreamFault):
        await opened(postgres17, route(postgres17, "verify-full"))


async def test_an_unknown_authority_is_refused(postgres17: EmbeddedPostgres, tmp_path: Path) -> None:
    stranger = ensure_certificates(tmp_path / "tls", 1_800_000_000.0)
    with pytest.raises(UpstreamFault, match="certificate verify failed"):
        await opened(postgres17, route(postgres17, "verify-full", stranger.ca))


async def test_a_server_without_tls_is_refused_where_tls_is_required(postgres18: EmbeddedPostgres) -> None:
    with pytest.raises(UpstreamFault, match="does not offer TLS"):
        await opened(postgres18, route(postgres18, "require"))
    link, _ = await opened(postgres18, route(postgres18, "disable"))
    link.wire.close()


async def test_a_wrong_password_is_the_targets_refusal_and_shows_no_secret(postgres17: EmbeddedPostgres) -> None:
    wrong = replace(credential(postgres17), secret=Secret("not-the-password"))
    with pytest.raises(UpstreamFault, match="password authentication failed") as caught:
        await opened(postgres17, route(postgres17, "require"), wrong)
    assert "not-the-password" not in str(caught.value)


async def test_nobody_listening_says_where(unused_tcp_port: int) -> None:
    with pytest.raises(UpstreamFault, match=str(unused_tcp_port)):
        async with asyncio.timeout(10):
            await open_link(
                Route("127.0.0.1", unused_tcp_port, "disable"),
                {"database": "x"},
                Credential("u", None, "none"),
                Signal(asyncio.get_running_loop()),
            )


@pytest.mark.parametrize("mode", ["disable", "require"])
async def test_cancel_stops_what_runs(postgres17: EmbeddedPostgres, mode: str) -> None:
    way = route(postgres17, mode)
    link, signal = await opened(postgres17, way)
    link.wire.write(messages.query(b"SELECT count(*) FROM generate_series(1, 10000000000)"))
    answer = asyncio.ensure_future(runs(link, signal))
    while not answer.done():  # the request may arrive before the query has begun
        await cancel(way, link.ready.pid, link.ready.secret)
        await asyncio.wait({answer}, timeout=0.2)
    errors = [replies.error_fields(run.data)["C"] for run in answer.result() if run.type == ord("E")]
    assert errors == ["57014"]
    link.wire.close()
