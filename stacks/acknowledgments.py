"""What the AwsSolutions checks find and we keep, with the reasons: ``acknowledgments.toml``, put on its constructs."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aws_cdk import Acknowledgment, Validations
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import IConstruct

ROWS: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("acknowledgments.toml").read_text("utf-8"))[
    "acknowledged"
]
PACK = "AwsSolutions"
_CLASSES: dict[str, type] = {"functions": lambda_.Function, "dead-letters": sqs.Queue}


def acknowledge(app: IConstruct, name: str) -> None:
    """Put every row on the constructs it speaks of; ``name`` is the deployment's.

    A path that this deployment lacks (a stack without functions) has nothing to acknowledge.
    """
    constructs = app.node.find_all()
    for row in ROWS:
        for where in row["where"]:
            for construct in _meant(constructs, where, name):
                rule = f"{PACK}::{row['rule']}"
                Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=row["reason"]))


def _meant(constructs: list[IConstruct], where: str, name: str) -> Iterator[IConstruct]:
    if where in _CLASSES:
        yield from (construct for construct in constructs if isinstance(construct, _CLASSES[where]))
    else:
        yield from (construct for construct in constructs if construct.node.path == f"{name}-{where}")
