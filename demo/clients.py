"""An agent's clients, as an agent has them: an address, a token, verified TLS."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import Any

import psycopg

from rig.postgres import psql_path

COMMAND_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Door:
    """Where agents find the shop. ``address`` is HOST:PORT, ``ca`` the file to verify it with."""

    address: str
    ca: str

    def psql(self, sql: str, token: str) -> subprocess.CompletedProcess[str]:
        """Real psql."""
        host, _, port = self.address.rpartition(":")
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "PGHOST": host,
            "PGPORT": port,
            "PGUSER": "shop",
            "PGDATABASE": "shop",
            "PGPASSWORD": token,
            "PGSSLMODE": "verify-full",
            "PGSSLROOTCERT": self.ca,
            "PGCONNECT_TIMEOUT": "30",
        }
        command = [str(psql_path()), "-X", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-c", sql]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )

    def connect(self, token: str) -> psycopg.Connection[tuple[Any, ...]]:
        """Real psycopg."""
        host, _, port = self.address.rpartition(":")
        return psycopg.connect(
            host=host,
            port=port,
            user="shop",
            password=token,
            dbname="shop",
            sslmode="verify-full",
            sslrootcert=self.ca,
            connect_timeout=30,
            autocommit=True,
        )
