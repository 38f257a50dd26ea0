"""The shapes a deployment can have (``topology.toml``), and what each costs while nobody uses it. Pure."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOURS = 730  # in a month, as AWS counts them

_TABLE: dict[str, Any] = tomllib.loads(Path(__file__).with_name("topology.toml").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Topology:
    """One row of the table. ``cpu`` in units of 1/1024 vCPU and ``memory`` in MiB, for each task."""

    name: str
    about: str
    azs: int
    nat: str
    tasks: int
    most_tasks: int
    cpu: int
    memory: int
    endpoints: tuple[str, ...]


TOPOLOGIES: Mapping[str, Topology] = {
    name: Topology(name, **{**row, "endpoints": tuple(row["endpoints"])}) for name, row in _TABLE["topologies"].items()
}


def monthly(topology: Topology, alarms: int) -> float:
    """US dollars a month of an idle deployment with so many alarms, by the list prices in the table."""
    price: dict[str, float] = _TABLE["prices"]
    task = topology.cpu / 1024 * price["vcpu_hour"] + topology.memory / 1024 * price["gigabyte_hour"]
    way_out = {
        "none": 0.0,
        "instance": price["nat_instance_hour"] + price["address_hour"],
        "gateway": price["nat_gateway_hour"] + price["address_hour"],
    }[topology.nat]
    endpoints = len(topology.endpoints) * topology.azs * price["endpoint_hour"]
    hourly = topology.tasks * task + price["balancer_hour"] + way_out + endpoints
    watched = alarms * price["alarm_month"] + price["metrics"] * price["metric_month"]
    kept = price["keys"] * price["key_month"] + price["secrets"] * price["secret_month"]
    return hourly * HOURS + kept + watched
