"""The proxies that do nothing do just that: the same bytes both ways, and one record for whatever a client says."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from bench.floor import PASSING, WAYS, WRITING, passing, table
from bench.measure import Measure
from bench.passing import RECORD
from bench.stage import Route


@pytest.mark.parametrize("name", [PASSING, WRITING])
def test_bytes_pass_unchanged_and_are_written_about(name: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        direct = Route("direct", server.getsockname()[1], "", "", 0, tmp_path)
        place = tmp_path if name == WRITING else None
        with (
            passing(name, direct, place) as way,
            socket.create_connection(("127.0.0.1", way.port), 30) as client,
        ):
            client.sendall(b"what a client says first")
            there, _ = server.accept()
            with there:
                there.settimeout(30)
                assert there.recv(1000) == b"what a client says first"
                there.sendall(b"the answer")
                assert client.recv(1000) == b"the answer"
                client.sendall(b"again")
                assert there.recv(1000) == b"again"
                client.shutdown(socket.SHUT_RDWR)
                assert there.recv(1000) == b""
    written = [file.read_bytes() for file in tmp_path.iterdir()]
    assert written == ([RECORD * 2] if name == WRITING else [])


def test_each_way_is_held_against_pgbouncer() -> None:
    measure = Measure("floor-simple", "point select", "/s")
    for number, way in enumerate(WAYS, start=1):
        measure.add(way, 100.0 * number)
    heading, _, row = table([measure]).splitlines()
    assert [cell.strip() for cell in heading.split("|")[3:7]] == list(WAYS)
    assert [cell.strip()[:4] for cell in row.split("|")[3:10]] == ["100", "200", "300", "400", "2.00", "3.00", "4.00"]
