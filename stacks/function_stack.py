"""What the stacks with functions share: building rows of ``functions.toml`` and granting them their words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from stacks.blueprint import Blueprint
from stacks.bundling import function_code
from stacks.functions import FunctionRow
from stacks.grants import grant
from stacks.network import NetworkStack
from stacks.parts.function import SPOOL, Function, FunctionProps
from stacks.staging import FOLDER
from stacks.storage import DataStack
from stacks.values import Values

#: What every function needs to run at all; its row adds what it is for.
ALWAYS = ("use-data-key",)


@dataclass(frozen=True, slots=True)
class Foundation:
    """What all stacks with functions stand on. ``root`` is the repository, ``cache`` where assets are staged."""

    blueprint: Blueprint
    network: NetworkStack
    data: DataStack
    values: Values
    functions: Mapping[str, FunctionRow]
    root: Path
    cache: Path

    def function_name(self, row: str) -> str:
        """Fixed, so that functions can know of each other without depending on each other."""
        return f"{self.blueprint.name}-{row.replace('_', '-')}".lower()

    @property
    def alarms_topic_name(self) -> str:
        """Fixed, too: alarms stand beside what they watch, and the topic in the stack that comes last."""
        return f"{self.blueprint.name}-alarms".lower()


class FunctionStack(Stack):
    """Exposes ``functions`` by their names in the table.

    The configuration's layer and the code are assets of each stack: a layer shared between stacks could never change,
    for CloudFormation keeps an exported value from changing while it is imported.
    """

    def __init__(self, scope: Construct, id: str, about: str, ground: Foundation) -> None:
        super().__init__(scope, id, description=f"Blastwall: {about}", analytics_reporting=False)
        self.ground = ground
        # By its ARN: what is built here must not add to the key's own policy, which says for itself who may use it.
        self.key = kms.Key.from_key_arn(self, "DataKey", ground.data.key.key_arn)
        self.functions: dict[str, Function] = {}

    def rows(self, stack: str) -> list[FunctionRow]:
        return [row for row in self.ground.functions.values() if row.stack == stack]

    def build(self, rows: Iterable[FunctionRow]) -> None:
        """Make the functions. Raises LookupError when a setting or a resource of a grant is not there."""
        ground = self.ground
        chosen = list(rows)
        if not chosen:
            return
        bundle = ground.blueprint.rds_ca, ground.blueprint.rds_ca_sha256
        code = function_code(ground.root, ground.cache, bundle)
        layer = lambda_.LayerVersion(
            self,
            "Configuration",
            code=lambda_.Code.from_asset(str(ground.blueprint.staged)),
            compatible_architectures=[lambda_.Architecture.ARM_64],
            compatible_runtimes=[lambda_.Runtime.PYTHON_3_13],
            description=f"configuration {ground.blueprint.bundle.version}",
            removal_policy=RemovalPolicy.DESTROY,
        )
        for row in chosen:
            made = Function(
                self,
                row.title,
                FunctionProps(
                    row=row,
                    name=ground.function_name(row.name),
                    code=code,
                    layer=layer,
                    key=self.key,
                    environment=self._environment(row),
                    vpc=ground.network.vpc,
                    subnets=ground.network.inside,
                    security_groups=[ground.network.functions],
                    spool=ground.data.spool_access,
                ),
            )
            grant(made.role, (*ALWAYS, *row.grants), ground.values)
            self.functions[row.name] = made

    def _environment(self, row: FunctionRow) -> dict[str, str]:
        values = self.ground.values.environment(row.settings) if row.settings else {}
        return {
            **values,
            "BLASTWALL_CONFIG": f"/opt/{FOLDER}",
            "BLASTWALL_CONFIG_VERSION": self.ground.blueprint.bundle.version,
            **({"BLASTWALL_SPOOL": SPOOL} if row.spool else {}),
        }
