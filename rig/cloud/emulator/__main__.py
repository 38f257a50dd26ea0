"""The emulator of AWS, as the rig runs it: ``python -m rig.cloud.emulator --ready-fd N`` in its own environment.

It speaks TLS at a free port of 127.0.0.1 (with the pair of ``RIG_CERTIFICATE`` and ``RIG_KEY``), and at another one
plain HTTP, which bucket policies refuse and container credentials come by; it writes ``{"port": N, "plain": N}`` to the
descriptor. Who calls it proves it with the keys of ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY`` (the account's
root) or with keys that it issued. Functions run under the interpreter that ``RIG_FUNCTION_PYTHON`` names;
``RIG_MOUNTS`` (JSON) says where the directories that functions mount are on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
from typing import Any

LOOPBACK = "127.0.0.1"


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser("python -m rig.cloud.emulator")
    parser.add_argument("--ready-fd", type=int, required=True)
    ready = parser.parse_args().ready_fd
    sys.addaudithook(_only_loopback)
    secure, plain = (socket.create_server((LOOPBACK, 0), backlog=256) for _ in range(2))
    port = secure.getsockname()[1]
    # Read when the emulator is imported.
    os.environ.update(GATEWAY_PORT=str(port), BIND_HOST=LOOPBACK, AUTH="true", IOT_MTLS_ENABLED="0", SFTP_ENABLED="0")
    os.environ["AWS_ENDPOINT_URL"] = f"https://{LOOPBACK}:{port}"  # for functions
    asyncio.run(_serve(secure, plain, {"port": port, "plain": plain.getsockname()[1]}, ready))


def _only_loopback(event: str, arguments: tuple[Any, ...]) -> None:
    """Nothing in this process binds anything but loopback addresses, whatever its defaults are."""
    if event != "socket.bind":
        return
    address = arguments[1]
    if isinstance(address, tuple) and address[0] not in (LOOPBACK, "::1", "localhost"):
        raise PermissionError(f"the emulator binds loopback addresses only, not {address[0]!r}")


async def _serve(secure: socket.socket, plain: socket.socket, ports: dict[str, int], ready: int) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    from rig.cloud.emulator import front

    def end() -> None:  # nothing is kept: whoever still waits for an answer need not get it
        front.end_functions()
        os._exit(0)

    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, end)
    config = Config()
    config.bind, config.insecure_bind = [f"fd://{secure.detach()}"], [f"fd://{plain.detach()}"]
    config.certfile, config.keyfile = os.environ["RIG_CERTIFICATE"], os.environ["RIG_KEY"]
    config.alpn_protocols = ["http/1.1"]
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"
    app = front.compose()
    served = asyncio.create_task(serve(app, config, shutdown_trigger=asyncio.Event().wait))
    started = asyncio.create_task(app.started.wait())
    await asyncio.wait((served, started), return_when=asyncio.FIRST_COMPLETED)
    if started.done():
        with os.fdopen(ready, "w") as told:
            told.write(json.dumps(ports) + "\n")
    await served


if __name__ == "__main__":
    main()
