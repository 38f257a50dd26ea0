"""Deploys a cloud assembly through CloudFormation, as ``cdk deploy`` does: assets first, then stack after stack."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from rig.cloud.emulated import ACCOUNT, REGION, EmulatedAccount
from rig.postgres import RigFault

BOOTSTRAP_PARAMETER = "/cdk-bootstrap/hnb659fds/version"
BOOTSTRAP_VERSION = "30"
STACK_SECONDS = 120.0
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class Deployment:
    """The stacks of an assembly in an account. Stacks are named by the last part of their names (``Data``)."""

    def __init__(self, account: EmulatedAccount) -> None:
        self._account = account
        self._cloudformation = account.client("cloudformation")
        self._s3 = account.client("s3")
        self.assembly = Path()
        self.stacks: dict[str, str] = {}  # last part of the name -> name

    def bootstrap(self) -> None:
        """What ``cdk bootstrap`` leaves: the bucket of assets, and the version that templates ask for."""
        self._s3.create_bucket(Bucket=_placed("cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"))
        ssm = self._account.client("ssm")
        ssm.put_parameter(Name=BOOTSTRAP_PARAMETER, Value=BOOTSTRAP_VERSION, Type="String")

    def deploy(self, assembly: Path, parameters: Mapping[str, str]) -> None:
        """Create or update every stack, in order; a parameter goes to the stacks that declare it.

        Raises RigFault with the events of the stack that failed.
        """
        self.assembly = assembly
        manifest = json.loads((assembly / "manifest.json").read_text("utf-8"))["artifacts"]
        for name in _ordered(manifest):
            self._publish(assembly / f"{name}.assets.json")
            file = manifest[name]["properties"]["templateFile"]
            template = json.loads((assembly / file).read_text("utf-8"))
            key = _placed(manifest[name]["properties"]["stackTemplateAssetObjectUrl"]).removeprefix("s3://")
            declared = template.get("Parameters", {})
            given = [
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items() if key in declared
            ]
            self._apply(name, f"{self._account.endpoint}/{key}", given)
            self.stacks[name.rsplit("-", 1)[-1]] = name

    def resource(self, stack: str, logical: str) -> str:
        """The physical id of a resource; ``logical`` is its id without the hash. Raises LookupError."""
        return next(iter(self.resources(stack, logical)))

    def resources(self, stack: str, logical: str) -> list[str]:
        """Physical ids of the resources whose logical id is ``logical`` and a hash. Raises LookupError."""
        listed = self._cloudformation.describe_stack_resources(StackName=self.stacks[stack])["StackResources"]
        found = [item["PhysicalResourceId"] for item in listed if item["LogicalResourceId"][:-8] == logical]
        if not found:
            raise LookupError(f"{self.stacks[stack]} has no resource {logical}")
        return found

    def of_type(self, stack: str, kind: str) -> list[str]:
        """Physical ids of a stack's resources of a type."""
        listed = self._cloudformation.describe_stack_resources(StackName=self.stacks[stack])["StackResources"]
        return [item["PhysicalResourceId"] for item in listed if item["ResourceType"] == kind]

    def _publish(self, file: Path) -> None:
        for asset in json.loads(file.read_text("utf-8"))["files"].values():
            source = file.parent / asset["source"]["path"]
            body = _zipped(source) if asset["source"]["packaging"] == "zip" else source.read_bytes()
            for place in asset["destinations"].values():
                self._s3.put_object(Bucket=_placed(place["bucketName"]), Key=place["objectKey"], Body=body)

    def _apply(self, name: str, url: str, parameters: list[dict[str, str]]) -> None:
        order: dict[str, Any] = {
            "StackName": name,
            "TemplateURL": url,
            "Parameters": parameters,
            "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        }
        try:
            self._cloudformation.describe_stacks(StackName=name)
        except ClientError:
            self._cloudformation.create_stack(**order, DisableRollback=True)
        else:
            try:
                self._cloudformation.update_stack(**order)
            except ClientError as error:
                if "No updates" in str(error):
                    return
                raise
        self._await(name)

    def _await(self, name: str) -> None:
        deadline = time.monotonic() + STACK_SECONDS
        while True:
            stack = self._cloudformation.describe_stacks(StackName=name)["Stacks"][0]
            status = stack["StackStatus"]
            if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
                return
            if not status.endswith("_IN_PROGRESS"):
                raise RigFault(f"{name} is {status}:\n{self._told(name)}")
            if time.monotonic() > deadline:
                raise RigFault(f"{name} is {status} after {STACK_SECONDS:.0f} s:\n{self._told(name)}")
            time.sleep(0.02)

    def _told(self, name: str) -> str:
        events = self._cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        failed = [event for event in events if event["ResourceStatus"].endswith("FAILED")]
        return "\n".join(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}" for event in failed)


def _ordered(artifacts: Mapping[str, Any]) -> list[str]:
    """The stacks, each after those that it depends on."""
    stacks = {name for name, item in artifacts.items() if item["type"] == "aws:cloudformation:stack"}
    ordered: list[str] = []

    def place(name: str) -> None:
        if name in stacks and name not in ordered:
            for other in artifacts[name].get("dependencies", []):
                place(other)
            ordered.append(name)

    for name in sorted(stacks):
        place(name)
    return ordered


def _placed(text: str) -> str:
    return text.replace("${AWS::AccountId}", ACCOUNT).replace("${AWS::Region}", REGION)


def _zipped(folder: Path) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(str(path.relative_to(folder)), _ZIP_TIME)
                entry.external_attr = 0o644 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())
    return made.getvalue()
