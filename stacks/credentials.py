"""Identity and credentials: the functions that verify tokens, vend and revoke, and what only they may touch."""

from __future__ import annotations

from aws_cdk import Aws
from constructs import Construct

from stacks.function_stack import Foundation, FunctionStack
from stacks.targets import logins, secrets


class CredentialsStack(FunctionStack):
    """Exposes ``functions``. Targets' secrets, logins and roles are granted to whoever has the word for them."""

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
        roles = bundle.config.aws_roles.values()
        values.own("target-roles", *sorted({role.role_arn for role in roles}))
        values.own("denials", *sorted({role.denials_policy_arn for role in roles if role.denials_policy_arn}))
        rows = self.rows("credentials")
        names = {row.name: ground.function_name(row.name) for row in rows}
        arns = {name: self.format_arn(service="lambda", resource=f"function:{names[name]}") for name in names}
        values.own("credentials-functions", *(arns[name] for name in sorted(arns) if name != "session_reconciler"))
        self.build(rows)
