"""All stacks, in the order in which they stand on each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aws_cdk import App

from stacks.approvals import ApprovalsStack
from stacks.audit import AuditStack
from stacks.blueprint import Blueprint
from stacks.credentials import CredentialsStack
from stacks.function_stack import Foundation
from stacks.functions import TABLE, read_functions
from stacks.gateway import GatewayStack
from stacks.monitoring import MonitoringStack
from stacks.network import NetworkStack
from stacks.storage import DataStack
from stacks.values import Values


@dataclass(frozen=True, slots=True)
class System:
    """The stacks of one deployment."""

    network: NetworkStack
    data: DataStack
    audit: AuditStack
    credentials: CredentialsStack
    approvals: ApprovalsStack
    gateway: GatewayStack
    monitoring: MonitoringStack


def build(app: App, blueprint: Blueprint, root: Path, cache: Path) -> System:
    """Make every stack, named after the blueprint. Raises LookupError or ValueError when a table names what is not."""
    values, name = Values(), blueprint.name
    functions = read_functions(TABLE.read_text("utf-8"), root)
    network = NetworkStack(app, f"{name}-Network", blueprint)
    data = DataStack(app, f"{name}-Data", blueprint, network, values)
    ground = Foundation(blueprint, network, data, values, functions, root, cache)
    for row in functions.values():
        values.put(f"{row.name}_function", ground.function_name(row.name))
    audit = AuditStack(app, f"{name}-Audit", ground)
    credentials = CredentialsStack(app, f"{name}-Credentials", ground)
    approvals = ApprovalsStack(app, f"{name}-Approvals", ground)
    gateway = GatewayStack(app, f"{name}-Gateway", ground)
    gateway.add_stack_dependency(credentials)  # tasks call functions by name: they must be there first
    gateway.add_stack_dependency(approvals)
    staffed = (audit, credentials, approvals)
    monitoring = MonitoringStack(app, f"{name}-Monitoring", ground, staffed, audit, approvals, gateway)
    return System(network, data, audit, credentials, approvals, gateway, monitoring)
