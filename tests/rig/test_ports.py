"""Whether something could listen on a port."""

from __future__ import annotations

import socket

import pytest

from rig.ports import why_not


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_port_that_something_has_is_told_from_a_free_one(family: int, host: str) -> None:
    with socket.socket(family) as taken:
        try:
            taken.bind((host, 0))
        except OSError:
            assert host == "::1", "a machine may have no IPv6; then nothing listens there either"
            assert why_not(host, 0)
            return
        taken.listen()
        port = taken.getsockname()[1]
        assert why_not(host, port) == "Address already in use"
    assert why_not(host, port) is None
    assert why_not(host, 0) is None


def test_an_address_of_another_machine_is_none_to_listen_on() -> None:
    assert why_not("192.0.2.1", 0)
