import tomllib
from pathlib import Path

import pytest

from stacks.topology import HOURS, TOPOLOGIES, monthly
from tests.stacks.deployment import Deployment

PRICES = tomllib.loads((Path(__file__).parents[2] / "stacks" / "topology.toml").read_text())["prices"]
README = (Path(__file__).parents[2] / "README.md").read_text()


def test_each_row_is_a_shape_that_fargate_takes() -> None:
    assert set(TOPOLOGIES) == {"dev", "nat", "isolated"}
    for topology in TOPOLOGIES.values():
        assert topology.azs >= 2
        assert 1 <= topology.tasks <= topology.most_tasks
        assert (topology.cpu, topology.memory) in {(256, 512), (512, 1024), (1024, 2048)}


def test_the_cost_is_the_sum_of_its_parts() -> None:
    dev = TOPOLOGIES["dev"]
    task = 0.25 * 0.03238 + 0.5 * 0.00356
    assert monthly(dev, 0) == pytest.approx(
        (task + 0.0225 + 0.0042 + 0.005) * HOURS + PRICES["keys"] + 0.8 + PRICES["metrics"] * 0.30
    )
    assert monthly(dev, 10) - monthly(dev, 0) == pytest.approx(1)


def test_the_readme_tells_what_each_costs(deployed: Deployment) -> None:
    alarms = len(deployed.all("AWS::CloudWatch::Alarm"))
    for topology in TOPOLOGIES.values():
        cost = round(monthly(topology, alarms))
        row = next((line for line in README.splitlines() if line.startswith(f"| `{topology.name}` |")), "")
        assert any(abs(cost - known) <= 1 for known in numbers(row)), f"README: {topology.name} costs ${cost}: {row}"


def numbers(row: str) -> list[int]:
    return [int(word.strip("$")) for word in row.split() if word.startswith("$")]


def test_what_is_charged_for_each_zone_is_what_the_templates_have(isolated: Deployment) -> None:
    endpoints = isolated.properties("AWS::EC2::VPCEndpoint").values()
    assert sum(endpoint.get("VpcEndpointType") == "Interface" for endpoint in endpoints) == len(
        TOPOLOGIES["isolated"].endpoints
    )
    assert len(isolated.all("AWS::KMS::Key")) == PRICES["keys"]
    operators = {"ServerCertificateArn"}
    assert len(isolated.all("AWS::SecretsManager::Secret")) + len(operators) == PRICES["secrets"]
