"""The local composition: every port has an adapter, on one state folder, and recordings are signed."""

from __future__ import annotations

from pathlib import Path

from blastwall.config.bundle import Bundle, load_bundle
from blastwall.identity.jwks import FetchedKeys
from blastwall.local.recordings import Shelf
from blastwall.local.signer import trusted_keys
from blastwall.model import Effect, Facts, Permit, Principal, Statement
from fargate_proxy.local import compose

CONFIG = Path(__file__).parents[2] / "config"
STATIC = {"kind": "static", "user": "shop_agent", "password_env": "BLASTWALL_SHOP_PASSWORD"}


async def test_the_parts_work_together_on_one_folder(tmp_path: Path) -> None:
    bundle = load_bundle(CONFIG, {"targets": {"shop": {"credential": [STATIC]}}})
    shop = bundle.targets["shop"]
    parts = compose(bundle, tmp_path / "state", {"BLASTWALL_SHOP_PASSWORD": "secret of the shop"})
    try:
        principal = Principal(
            "i", "robot", "robot", frozenset({"agents"}), token_id="t", expires_at=parts.clock.now() + 60
        )
        session = await parts.sessions.open(principal, shop)
        credential = await parts.vendor.vend(session, shop, Permit("connect"), None)
        assert credential.secret is not None
        assert credential.secret.reveal() == "secret of the shop"
        recording = parts.recorder.open(session, shop, "c-1", {})
        recording.protect(credential.secret)
        recording.intent(Statement("SELECT 'secret of the shop'", number=1), Facts(Effect.READ, "select"), Permit("x"))
        recording.commit()
        recording.close("done")
    finally:
        parts.close()
    (entry,) = Shelf(tmp_path / "state").entries()
    verdict = entry.verify(trusted_keys(*(tmp_path / "state" / "keys").glob("*.pub")))
    assert verdict.state == "intact"
    for file in (tmp_path / "state").rglob("*"):
        assert not file.is_file() or b"secret of the shop" not in file.read_bytes(), file


async def test_another_configurations_issuers_and_limits_are_taken(tmp_path: Path) -> None:
    def bundle(**more: object) -> Bundle:
        return load_bundle(CONFIG, {"targets": {"shop": {"credential": [STATIC]}}, **more})

    parts = compose(bundle(), tmp_path / "state", {"BLASTWALL_SHOP_PASSWORD": "word"})
    try:
        (before,) = parts.verifier.sources
        parts.adopt(bundle(approvals={"limits": {"waiting": 1}}))
        assert parts.verifier.sources == (before,)
        assert parts.people._limits.waiting == 1
        other = {"issuer": "https://idp.example", "audience": "blastwall"}
        parts.adopt(bundle(identity={"issuers": [other]}))
        (now,) = parts.verifier.sources
        assert isinstance(now, FetchedKeys) and now.made_of[0].issuer == "https://idp.example"
    finally:
        parts.close()
