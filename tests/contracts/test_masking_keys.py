"""What a deployment's masking key is, wherever it is kept: one key for all, so that a mask is the same on each gateway."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from blastwall.aws.masking_key import VARIABLE, TaskMaskingKey
from blastwall.config.masking import SHORTEST_KEY, load_masking, with_key
from blastwall.local.masking_key import LocalMaskingKey
from blastwall.masking.plan import Mask, Predicates, Strategy
from blastwall.ports import MaskingKey

Deployment = Callable[[], MaskingKey]  # one more gateway process of it
RULES = "version: 1\ntargets:\n  shop:\n    columns:\n      - {column: a.b.c, strategy: hash}\n"


@pytest.fixture(params=["local", "aws"])
def deployments(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Deployment, Deployment]:
    """Two that know nothing of each other."""

    def made(name: str) -> Deployment:
        if request.param == "local":
            return lambda: LocalMaskingKey(tmp_path / name)
        secret = secrets.token_hex(32)
        return lambda: TaskMaskingKey({VARIABLE: secret})

    return made("one"), made("another")


def pseudonym(key: MaskingKey) -> str:
    masking = with_key(load_masking(RULES, Path("masking.yaml"), {"shop": None}), {}, key)
    return masking.rules["shop"].pseudonym(Mask("a.b.c", Strategy.HASH, Predicates.DENY, "", "", 25), "ann")


def test_every_process_has_the_same_and_keeps_it(deployments: tuple[Deployment, Deployment]) -> None:
    first, second = deployments[0](), deployments[0]()
    found = [first.read(), second.read(), first.read()]
    assert len({key.reveal() for key in found}) == 1
    assert len(found[0].reveal()) >= SHORTEST_KEY
    assert found[0].reveal() not in repr(first) + repr(found[0])


def test_masks_are_the_same_within_a_deployment_and_others_elsewhere(
    deployments: tuple[Deployment, Deployment],
) -> None:
    one, another = deployments
    assert pseudonym(one()) == pseudonym(one())
    assert pseudonym(one()) != pseudonym(another())
