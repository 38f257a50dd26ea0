"""The state directory's SQLite file, shared by the gateway processes and the CLI."""

from __future__ import annotations

from pathlib import Path


class Store:
    """``STATE/blastwall.db`` (directory 0700, file 0600, WAL). Open once per process inside its event loop; close at the end."""

    def __init__(self, state_dir: Path) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError
