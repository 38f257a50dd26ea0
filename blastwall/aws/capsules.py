"""``ports.Capsules`` on AWS: objects in S3, each sealed under a data key of its own that only KMS can open.

An object is two bytes with the length of the data key's ciphertext, that ciphertext, and the sealed capsule
(``undo.sealing``). The data key is bound to the capsule's name by its encryption context: whoever may use the KMS key
for one name does not thereby open another, and CloudTrail says which was opened.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any, Final

from blastwall.errors import OurFault
from blastwall.undo.sealing import NONCE_BYTES, checked, seal, unseal

PREFIX: Final = "undo/"
LARGEST: Final = 64 * 1024 * 1024  # bytes of an object


class AwsCapsules:
    """``s3`` and ``kms`` are boto3 clients, ``key`` is the KMS key's id or ARN. Everything raises OurFault."""

    def __init__(self, s3: Any, kms: Any, bucket: str, key: str) -> None:  # noqa: ANN401  boto3 has no types
        self._s3 = s3
        self._kms = kms
        self._bucket = bucket
        self._key = key

    async def keep(self, name: str, content: bytes) -> None:
        """Seal it and put it into the bucket; it is there when this returns."""
        await asyncio.to_thread(self._keep, name, content)

    async def names(self, prefix: str) -> Sequence[str]:
        """Of all that begin so, sorted; the first thousand."""
        return await asyncio.to_thread(self._names, prefix)

    async def open(self, name: str) -> bytes | None:
        """What was kept, None: nothing of that name."""
        return await asyncio.to_thread(self._open, name)

    def _keep(self, name: str, content: bytes) -> None:
        place = _place(name)
        try:
            made = self._kms.generate_data_key(KeyId=self._key, KeySpec="AES_256", EncryptionContext={"capsule": name})
            wrapped = bytes(made["CiphertextBlob"])
            sealed = seal(bytes(made["Plaintext"]), secrets.token_bytes(NONCE_BYTES), name, content)
            body = len(wrapped).to_bytes(2, "big") + wrapped + sealed
            self._s3.put_object(Bucket=self._bucket, Key=place, Body=body, IfNoneMatch="*")
        except Exception as fault:
            raise OurFault(f"the undo capsule {name} cannot be kept: {fault}") from fault

    def _names(self, prefix: str) -> list[str]:
        try:
            found = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=PREFIX + prefix)
        except Exception as fault:
            raise OurFault(f"the undo capsules cannot be listed: {fault}") from fault
        return sorted(str(one["Key"]).removeprefix(PREFIX) for one in found.get("Contents", ()))

    def _open(self, name: str) -> bytes | None:
        place = _place(name)
        try:
            body = self._s3.get_object(Bucket=self._bucket, Key=place)["Body"].read(LARGEST + 1)
        except self._s3.exceptions.NoSuchKey:
            return None
        except Exception as fault:
            raise OurFault(f"the undo capsule {name} cannot be read: {fault}") from fault
        length = int.from_bytes(body[:2], "big")
        try:
            opened = self._kms.decrypt(
                CiphertextBlob=body[2 : 2 + length], KeyId=self._key, EncryptionContext={"capsule": name}
            )
        except Exception as fault:
            raise OurFault(f"the undo capsule {name} does not open: {fault}") from fault
        return unseal(bytes(opened["Plaintext"]), name, body[2 + length :])


def _place(name: str) -> str:
    return PREFIX + checked(name)
