import asyncio

import pytest

from fargate_proxy.health import LARGEST, Health


@pytest.fixture
async def health() -> Health:
    return Health()


async def asked(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


async def test_readiness_follows_the_gateways_life(health: Health) -> None:
    port = await health.listen("127.0.0.1", 0)
    get = b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n"
    assert (await asked(port, get)).startswith(b"HTTP/1.1 503")
    health.ready()
    assert await asked(port, get) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: close\r\n\r\nready\n"
    )
    health.drain()
    assert (await asked(port, get)).startswith(b"HTTP/1.1 503")
    await health.close()
    with pytest.raises(OSError):
        await asked(port, get)


@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.1", b"POST /ready HTTP/1.1", b"GET /readyx HTTP/1.1", b"x"])
async def test_nothing_else_is_answered(health: Health, request_line: bytes) -> None:
    port = await health.listen("127.0.0.1", 0)
    health.ready()
    assert (await asked(port, request_line + b"\r\n\r\n")).startswith(b"HTTP/1.1 404")
    await health.close()


async def test_an_endless_head_is_cut_off_without_an_answer(health: Health) -> None:
    port = await health.listen("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /ready HTTP/1.1\r\nX: " + b"y" * (3 * LARGEST))
    try:
        assert await asyncio.wait_for(reader.read(), 10) == b""
    except ConnectionResetError:
        pass
    writer.close()
    await health.close()


async def test_head_has_no_body(health: Health) -> None:
    port = await health.listen("127.0.0.1", 0)
    health.ready()
    assert (await asked(port, b"HEAD /ready HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\n")
    await health.close()


#: As a load balancer that speaks PROXY protocol to its targets begins its own connections: LOCAL, with an extension.
LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x07\x04\x00\x04abcd"


@pytest.mark.parametrize("pieces", [[LOCAL], [LOCAL[:4], LOCAL[4:]], [LOCAL[:13], LOCAL[13:18], LOCAL[18:]]])
async def test_a_load_balancers_own_header_may_come_first(health: Health, pieces: list[bytes]) -> None:
    port = await health.listen("127.0.0.1", 0)
    health.ready()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in [*pieces, b"GET /ready HTTP/1.1\r\n\r\n"]:
        writer.write(piece)
        await writer.drain()
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 200")
    writer.close()
    assert (await asked(port, LOCAL + b"GET / HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 404")
    await health.close()


@pytest.mark.parametrize("start", [b"\r\n\r\nGET /ready HTTP/1.1\r\n\r\n", LOCAL[:12] + b"\x20\x00\xff\xff"])
async def test_what_only_begins_like_one_is_not_answered(health: Health, start: bytes) -> None:
    port = await health.listen("127.0.0.1", 0)
    health.ready()
    assert await asked(port, start) == b""
    await health.close()
