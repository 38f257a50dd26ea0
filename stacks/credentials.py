"""Identity and credentials: the functions that verify tokens, vend and revoke, and what only they may touch."""

from __future__ import annotations

from aws_cdk import Aws, CfnOutput
from constructs import Construct

from blastwall.credentials.door import PATH as DOOR
from stacks.bundling import CA_BUNDLE
from stacks.function_stack import Foundation, FunctionStack
from stacks.parts.http_door import HttpDoor, HttpDoorProps
from stacks.parts.target_role import TargetRole, TargetRoleProps, made_here
from stacks.targets import accounts, logins, secrets

VENDOR = "credential_vendor"


class CredentialsStack(FunctionStack):
    """Exposes ``functions`` and ``target_roles`` by name.

    Targets' secrets, logins and roles are granted to whoever has the word for them.
    """

    def __init__(self, scope: Construct, id: str, ground: Foundation) -> None:
        super().__init__(scope, id, "identity and credentials", ground)
        values, bundle = ground.values, ground.blueprint.bundle
        values.own("target-secrets", *secrets(bundle))
        values.own(
            "target-logins",
            *(
                f"arn:{Aws.PARTITION}:rds-db:{login.region}:{self.account}:dbuser:{login.resource}/{login.user}"
                for login in logins(bundle)
            ),
        )
        values.share(
            "target-instances",
            {
                user: tuple(f"arn:{Aws.PARTITION}:ec2:{region}:{self.account}:instance/{id}" for region, id in found)
                for user, found in accounts(bundle).items()
            },
        )
        values.put("ca_bundle", f"/var/task/{CA_BUNDLE}" if ground.blueprint.rds_ca_sha256 else "")
        roles = bundle.config.aws_roles
        values.own("target-roles", *sorted({role.role_arn for role in roles.values()}))
        values.own("denials", *sorted({role.denials_policy_arn for role in roles.values() if role.denials_policy_arn}))
        rows = self.rows("credentials")
        names = {row.name: ground.function_name(row.name) for row in rows}
        arns = {name: self.format_arn(service="lambda", resource=f"function:{names[name]}") for name in names}
        values.own("credentials-functions", *(arns[name] for name in sorted(arns) if name != "session_reconciler"))
        self.build(rows)
        self.target_roles = {
            name: TargetRole(self, f"Target{title(name)}", TargetRoleProps(role, self.functions[VENDOR].role))
            for name, role in sorted(roles.items())
            if made_here(role.role_arn)
        }
        if roles:
            self._open(VENDOR)

    def _open(self, vendor: str) -> None:
        """Agents elsewhere have a token and no AWS credentials: they ask for roles over HTTPS."""
        door = HttpDoor(
            self,
            "Door",
            HttpDoorProps(
                about="Blastwall: AWS roles for agents' tokens",
                function=self.functions[vendor].function,
                paths=(DOOR,),
                key=self.key,
                rate=10,
                burst=20,
            ),
        )
        CfnOutput(self, "CredentialsUrl", value=door.url, description="where `blastwall aws` asks: --url")


def title(name: str) -> str:
    """``reports-reader`` as part of a construct's id: ReportsReader."""
    return "".join(part.capitalize() for part in name.split("-"))
