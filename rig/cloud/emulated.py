"""The emulated account: the process, its root's keys, and clients of its services."""

from __future__ import annotations

import json
import os
import secrets
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from rig.certificates import Certificates
from rig.child import Child

ACCOUNT = "123456789012"
REGION = "us-east-1"
ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 60.0
#: Calls wait for functions that start on a busy machine, and are not sent twice meanwhile.
_PATIENCE = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 2})

Keys = Mapping[str, str]  # aws_access_key_id, aws_secret_access_key, aws_session_token


class EmulatedAccount:
    """One account in one region, below ``directory``, at a port of 127.0.0.1. ``mounts``: where a path that functions
    mount (``/mnt/spool``) is on this machine. Nothing of it outlives the process.
    """

    def __init__(self, python: Path, directory: Path, mounts: Mapping[str, Path], certificates: Certificates) -> None:
        self._ca = str(certificates.ca.resolve())
        self._token = secrets.token_hex(16)
        self._root = {
            "aws_access_key_id": "AKIA" + secrets.token_hex(8).upper(),
            "aws_secret_access_key": secrets.token_hex(20),
        }
        temporary = directory / "tmp"
        temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
        environ = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(temporary),
            "TMPDIR": str(temporary),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_ACCESS_KEY_ID": self._root["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": self._root["aws_secret_access_key"],
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_REGION": REGION,
            "LOG_LEVEL": "WARNING",
            "AWS_CA_BUNDLE": self._ca,
            "RIG_TOKEN": self._token,
            "RIG_CERTIFICATE": str(certificates.certificate.resolve()),
            "RIG_KEY": str(certificates.key.resolve()),
            "RIG_FUNCTION_PYTHON": sys.executable,
            "RIG_MOUNTS": json.dumps({path: str(place) for path, place in mounts.items()}),
        }
        command = [str(python), "-m", "rig.cloud.emulator"]
        self.process = Child("the emulator", command, environ, directory / "emulator.log", ROOT)

    def start(self) -> None:
        """Raises RigFault."""
        self.process.start(READY_SECONDS)

    def stop(self) -> None:
        self.process.stop()

    @property
    def endpoint(self) -> str:
        return f"https://127.0.0.1:{self.process.told['port']}"

    @property
    def plain(self) -> str:
        """The same without TLS."""
        return f"http://127.0.0.1:{self.process.told['plain']}"

    def client(self, service: str, keys: Keys | None = None, *, plain: bool = False) -> Any:  # noqa: ANN401  untyped
        """A client of a service, as the account's root or with somebody's keys; ``plain``: without TLS."""
        session = boto3.session.Session(region_name=REGION, **(keys or self._root))
        endpoint = self.plain if plain else self.endpoint
        return session.client(service, endpoint_url=endpoint, verify=self._ca, config=_PATIENCE)

    def environment(self) -> dict[str, str]:
        """Variables with which any AWS tool is the account's root here."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CA_BUNDLE": self._ca,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": self._root["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": self._root["aws_secret_access_key"],
        }

    def unread(self) -> Mapping[str, Mapping[str, list[str]]]:
        """Type of resource -> property of the template that nothing read -> logical ids."""
        found: Mapping[str, Mapping[str, list[str]]] = self._asked("unread")
        return found

    def task_keys(self, role: str) -> Keys:
        """Keys of a role that a task or function may take, as the container's endpoint gives them. Raises OSError."""
        found = self._asked(f"credentials/{role}")
        return {
            "aws_access_key_id": found["AccessKeyId"],
            "aws_secret_access_key": found["SecretAccessKey"],
            "aws_session_token": found["Token"],
        }

    def task_environment(self, role: str) -> dict[str, str]:
        """Where a process that runs as a task finds its keys and AWS."""
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.plain}/_rig/credentials/{role}",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": self._token,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CA_BUNDLE": self._ca,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def _asked(self, path: str) -> Any:  # noqa: ANN401  JSON
        request = urllib.request.Request(f"{self.plain}/_rig/{path}", headers={"Authorization": self._token})  # noqa: S310  loopback
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  loopback
            return json.loads(answer.read())
