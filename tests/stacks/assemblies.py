"""Synthesizes the deployments that the tests look at, in one process, for starting the CDK costs more than a synthesis.

``python tests/stacks/assemblies.py FOLDER`` writes one cloud assembly for each of :data:`VARIANTS`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VPC = {
    "id": "vpc-0a1b2c3d",
    "cidr": "10.1.0.0/16",
    "azs": ["eu-west-1a", "eu-west-1b"],
    "private_subnets": ["subnet-0a1b2c3d", "subnet-1a2b3c4d"],
}
#: Context beside the committed one.
VARIANTS = {
    "nat": {},
    "dev": {"topology": "dev", "name": "Trial"},
    "isolated": {"topology": "isolated", "lock_mode": "compliance", "lock_days": "30"},
    "given": {
        "vpc": json.dumps(VPC),
        "clients": "10.2.0.0/16,192.168.7.0/24",
        "proxy_image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/blast/wall:1.2",
        "endpoint_principals": "arn:aws:iam::210987654321:root",
        "alarm_email": "oncall@example.com",
        "config": "tests/stacks/config",
        "approval_secret": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:approvals-AbCdEf",
        "event_data_store": "arn:aws:cloudtrail:eu-west-1:123456789012:eventdatastore/0a1b2c3d-1111",
        "rds_ca_sha256": "0" * 64,  # nothing is fetched while templates are made
    },
}
#: The same as ``given``, and one target more: a line of YAML.
GROWN = "tests/stacks/grown.json"
VARIANTS["grown"] = {**VARIANTS["given"], "overrides": GROWN}


def synthesize(folder: Path) -> None:
    from stacks.synthesis import assemble, context  # isort: skip
    from aws_cdk import App, Validations
    from cdk_nag import AwsSolutionsChecks

    from stacks.wildcards import Wildcards

    for name, chosen in VARIANTS.items():
        app = App(context={**context(ROOT, {}), **chosen}, outdir=str(folder / name), analytics_reporting=False)
        assemble(app, ROOT, ROOT / ".cache" / "stacks")
        Validations.of(app).add_plugins(Wildcards(), AwsSolutionsChecks(app))
        app.synth()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    synthesize(Path(sys.argv[1]))
