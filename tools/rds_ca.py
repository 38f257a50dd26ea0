"""Puts a bundle of certificate authorities in place, if it is the one that was pinned: RDS signs with its own.

``rds_ca.py SOURCE SHA256 DESTINATION``: SOURCE is an https address or a file, SHA256 the digest of exactly those bytes
in hexadecimal, or ``none`` for no bundle at all. Whoever pins it fetches it once, compares it with what AWS publishes
("Using SSL/TLS to encrypt a connection to a DB instance", RDS User Guide), and keeps the digest.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import ssl
import sys
from pathlib import Path
from urllib.parse import urlsplit

ADDRESS = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
NONE = "none"
LARGEST = 4 * 1024 * 1024  # bytes; AWS's for all regions has about 170 thousand
TIMEOUT = 30.0  # seconds for each step


class NotPinned(Exception):
    """Nothing was put in place; the text says why."""


def place(source: str, digest: str, destination: Path) -> int:
    """Fetch, check, write; return how many certificates there are. Raises NotPinned."""
    if digest == NONE:
        return 0
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise NotPinned(
            f"RDS_CA_SHA256 is {digest!r}: give the SHA-256 of the bundle at {source} (64 hexadecimal digits, after "
            f"comparing it with what AWS publishes), or {NONE!r} if no target is on RDS"
        )
    content = _fetched(source) if source.startswith("https://") else _read(Path(source))
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise NotPinned(f"{source} is not what was pinned: its SHA-256 is {found}, not {digest}; nothing was kept")
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=content.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as fault:
        raise NotPinned(f"{source} holds no certificates in PEM: {fault}") from None
    destination.parent.mkdir(parents=True, exist_ok=True)
    destination.write_bytes(content)
    return len(context.get_ca_certs())


def _fetched(address: str) -> bytes:
    """No redirects: what is pinned is at one place."""
    parts = urlsplit(address)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=TIMEOUT)
    try:
        connection.request("GET", parts.path or "/")
        response = connection.getresponse()
        content = response.read(LARGEST + 1)
    except (OSError, http.client.HTTPException) as fault:
        raise NotPinned(f"{address} does not answer ({fault}); fetch it elsewhere and name the file (RDS_CA)") from None
    finally:
        connection.close()
    if response.status != 200 or len(content) > LARGEST:
        raise NotPinned(f"{address} answered {response.status} with {len(content)} bytes")
    return content


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(LARGEST + 1)
    except OSError as fault:
        raise NotPinned(f"{file} cannot be read: {fault.strerror}") from None


def main(words: list[str]) -> int:
    if len(words) != 3:
        sys.stderr.write("usage: rds_ca.py SOURCE SHA256 DESTINATION\n")
        return 2
    try:
        count = place(words[0] or ADDRESS, words[1], Path(words[2]))
    except NotPinned as fault:
        sys.stderr.write(f"image: {fault}\n")
        return 1
    sys.stdout.write(f"{count} certificate authorities of RDS\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
