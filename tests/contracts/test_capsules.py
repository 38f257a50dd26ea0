"""What every keeper of undo capsules does, on this machine and on AWS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from blastwall.aws.capsules import AwsCapsules
from blastwall.errors import OurFault
from blastwall.local.capsules import LocalCapsules
from tests.blastwall.aws import stage

BUCKET = "undo-bucket"
SECRET = b'{"rows": [["4111-1111-1111-1111"]]}'


class Store:
    """One adapter; ``stored`` gives everything that lies in it, ``put`` overwrites one."""

    def __init__(
        self, capsules: Any, stored: Callable[[], dict[str, bytes]], put: Callable[[str, bytes], None]
    ) -> None:
        self.capsules, self.stored, self.put = capsules, stored, put


@pytest.fixture(params=["local", "aws"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    if request.param == "local":
        folder = tmp_path / "undo"
        yield Store(
            LocalCapsules(tmp_path),
            lambda: {path.name: path.read_bytes() for path in folder.iterdir()},
            lambda name, data: (folder / name).write_bytes(data) and None,
        )
        return
    with stage.aws(monkeypatch):
        s3, kms = stage.client("s3"), stage.client("kms")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
        key = kms.create_key()["KeyMetadata"]["KeyId"]

        def stored() -> dict[str, bytes]:
            found = s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())
            return {
                one["Key"].removeprefix("undo/"): s3.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read()
                for one in found
            }

        yield Store(
            AwsCapsules(s3, kms, BUCKET, key),
            stored,
            lambda name, data: s3.put_object(Bucket=BUCKET, Key=f"undo/{name}", Body=data) and None,
        )


async def test_what_is_kept_comes_back_and_lies_there_sealed(store: Store) -> None:
    assert await store.capsules.open("a-1-x") is None and list(await store.capsules.names("a-1")) == []
    await store.capsules.keep("a-1-x", SECRET)
    assert await store.capsules.open("a-1-x") == SECRET
    (lying,) = store.stored().values()
    assert b"4111" not in lying and b"rows" not in lying


async def test_they_are_found_by_what_their_names_begin_with(store: Store) -> None:
    for name in ("a-1-y", "a-1-x", "a-2-x"):
        await store.capsules.keep(name, SECRET)
    assert list(await store.capsules.names("a-1-")) == ["a-1-x", "a-1-y"]


async def test_the_same_twice_is_sealed_differently(store: Store) -> None:
    await store.capsules.keep("a-1-x", SECRET)
    await store.capsules.keep("a-1-y", SECRET)
    first, second = store.stored().values()
    assert first[-40:] != second[-40:]


async def test_none_replaces_another(store: Store) -> None:
    await store.capsules.keep("a-1-x", SECRET)
    with pytest.raises(OurFault):
        await store.capsules.keep("a-1-x", b"something else")
    assert await store.capsules.open("a-1-x") == SECRET


async def test_one_passed_off_as_another_does_not_open(store: Store) -> None:
    await store.capsules.keep("a-1-x", SECRET)
    await store.capsules.keep("a-2-x", b"something else")
    store.put("a-2-x", store.stored()["a-1-x"])
    with pytest.raises(OurFault, match="does not open"):
        await store.capsules.open("a-2-x")


async def test_a_changed_one_does_not_open(store: Store) -> None:
    await store.capsules.keep("a-1-x", SECRET)
    lying = store.stored()["a-1-x"]
    store.put("a-1-x", lying[:-1] + bytes([lying[-1] ^ 1]))
    with pytest.raises(OurFault, match="does not open"):
        await store.capsules.open("a-1-x")


@pytest.mark.parametrize("name", ["../keys/undo.key", "", "A", "a/b", "a.b", "a" * 101])
async def test_a_name_is_a_name_and_no_path(store: Store, name: str) -> None:
    with pytest.raises(OurFault, match="no name"):
        await store.capsules.keep(name, SECRET)
    with pytest.raises(OurFault, match="no name"):
        await store.capsules.open(name)
