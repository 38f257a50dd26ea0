"""Types of resources that our templates have and the emulator does not know.

Security groups' rules go into the emulator's own store, so that they can be asked for. What has nothing behind it in an
emulator (flow logs, scaling) is kept as it was declared, in :data:`DECLARED`; docs/rig.md names it.
"""

from __future__ import annotations

import secrets
from typing import Any

from ministack.services import ec2
from ministack.services.cloudformation import provisioners

Properties = dict[str, Any]
Made = tuple[str, dict[str, Any]]

#: Physical id -> (type, properties) of what is only declared.
DECLARED: dict[str, tuple[str, Properties]] = {}
ONLY_DECLARED = {
    "AWS::EC2::FlowLog": "fl-",
    "AWS::ApplicationAutoScaling::ScalableTarget": "service/",
    "AWS::ApplicationAutoScaling::ScalingPolicy": "arn:aws:autoscaling:scalingPolicy:",
    "AWS::CloudTrail::Channel": "arn:aws:cloudtrail:channel/",
    "AWS::CloudTrail::ResourcePolicy": "policy-",
}


def add() -> None:
    """Add them to the emulator's table."""
    table = provisioners._RESOURCE_HANDLERS
    table["AWS::EC2::SecurityGroupIngress"] = _rule("IpPermissions")
    table["AWS::EC2::SecurityGroupEgress"] = _rule("IpPermissionsEgress")
    for kind, prefix in ONLY_DECLARED.items():
        table[kind] = _declared(kind, prefix)


def _rule(store: str) -> dict[str, Any]:
    def create(logical_id: str, props: Properties, stack_name: str) -> Made:
        group = ec2._security_groups[props["GroupId"]]
        group.setdefault(store, []).extend(provisioners._ec2_sg_permissions([dict(props)]))
        return f"sgr-{secrets.token_hex(8)}", {}

    def delete(physical_id: str, props: Properties) -> None:
        group = ec2._security_groups.get(props["GroupId"])
        if group is not None:
            gone = provisioners._ec2_sg_permissions([dict(props)])
            group[store] = [rule for rule in group.get(store, []) if rule not in gone]

    def update(physical_id: str, old: Properties, new: Properties, stack_name: str) -> Made:
        delete(physical_id, old)
        return create(physical_id, new, stack_name)

    return {"create": create, "update": update, "delete": delete}


def _declared(kind: str, prefix: str) -> dict[str, Any]:
    def create(logical_id: str, props: Properties, stack_name: str) -> Made:
        id = f"{prefix}{stack_name}-{logical_id}-{secrets.token_hex(4)}"
        DECLARED[id] = (kind, dict(props))
        return id, {"Id": id, "Arn": id, "ChannelArn": id}

    def update(physical_id: str, old: Properties, new: Properties, stack_name: str) -> Made:
        DECLARED[physical_id] = (kind, dict(new))
        return physical_id, {"Id": physical_id, "Arn": physical_id, "ChannelArn": physical_id}

    def delete(physical_id: str, props: Properties) -> None:
        DECLARED.pop(physical_id, None)

    return {"create": create, "update": update, "delete": delete}
