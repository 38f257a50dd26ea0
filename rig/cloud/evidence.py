"""What a deployed system has recorded, fetched for whoever trusts neither the gateway nor us."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from blastwall.aws.objects import Bucket
from blastwall.aws.shelf import BucketShelf
from rig.cloud.up import CloudStack
from rig.postgres import RigFault

LOOK_SECONDS = 0.1


def recorded(stack: CloudStack, agent: str) -> list[Mapping[str, Any]]:
    """What the manifests in the bucket say of the agent's connections that are complete."""
    found = [one for one in _shelf(stack).summaries() if one.get("agent") == agent and one["state"] == "complete"]
    return [one for one in found if str(one["connection"]).startswith("c-")]


def fetch(stack: CloudStack, id: str, folder: Path) -> tuple[Path, Path]:
    """A recording with its manifest beside it, and KMS's public key as PEM, as files. Raises LookupError."""
    bucket = _bucket(stack)
    shelf = BucketShelf(bucket)
    place = shelf.find(id)
    file, key = folder / f"{id}.bwr", folder / "key.pem"
    file.write_bytes(b"".join(bucket.get(each) for each in shelf.segments(place)))
    (folder / f"{id}.manifest.json").write_bytes(bucket.get(place.manifest))
    found = stack.account.client("kms").get_public_key(KeyId=stack.deployment.resource("Data", "ManifestKey"))
    key.write_bytes(
        load_der_public_key(found["PublicKey"]).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return file, key


def awaited(look: Callable[[], Any], what: str, seconds: float) -> Any:  # noqa: ANN401  whatever is looked for
    """What ``look`` finds, as soon as it finds something. Raises RigFault when it does not in that time."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise RigFault(f"after {seconds:.0f} s there is still no {what}")
        time.sleep(LOOK_SECONDS)
    return found


def _bucket(stack: CloudStack) -> Bucket:
    return Bucket(stack.account.client("s3"), stack.deployment.resource("Data", "RecordingsBucket"))


def _shelf(stack: CloudStack) -> BucketShelf:
    return BucketShelf(_bucket(stack))
