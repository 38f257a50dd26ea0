"""From credential sections to rules: each kind its own, AWS only where it is named."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from blastwall.config.bundle import Bundle, load_bundle
from blastwall.config.vending import Composer, logins_only, profiles_of
from blastwall.credentials.logins import RoleRules
from blastwall.errors import OurFault, UpstreamFault
from blastwall.local.vendor import CredentialRules, FetchedRules
from blastwall.model import Credential, Principal, Secret, Session

CONFIG = Path(__file__).parents[3] / "config"
RDS = {"resource_id": "db-ABC", "region": "eu-central-1"}
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shop-AbCdEf"


def bundle(*credentials: dict[str, Any], **more: Any) -> Bundle:
    return load_bundle(CONFIG, {"targets": {"shop": {"credential": list(credentials)}}, **more})


async def test_each_kind_becomes_its_own_rule() -> None:
    made = bundle(
        {
            "kind": "role",
            "profile": "app",
            "admin": {"user": "adm", "password_env": "ADM"},
            "connections": 3,
            "max_minutes": 2.0,
            "settings": {"work_mem": "8MB"},
        },
        {"kind": "iam", "user": "tok", "rds": RDS},
        {"kind": "static", "user": "old", "secret_arn": SECRET},
        {"kind": "static", "user": "env", "password_env": "OLD"},
    )
    composer = Composer({"ADM": "pa55"})
    role, iam, secret, env = composer.rules(made)["shop"]
    assert isinstance(role, RoleRules) and (role.profile, role.connections, role.max_seconds) == ("app", 3, 120.0)
    assert role.token is None and role.settings == {"work_mem": "8MB"}
    login = await role.admin.login()
    assert (login.user, login.secret) == ("adm", Secret("pa55"))
    assert isinstance(iam, FetchedRules) and isinstance(secret, FetchedRules) and isinstance(env, CredentialRules)
    assert [rule.user for rule in (role, iam, secret, env)] == ["app", "tok", "old", "env"]
    assert logins_only(composer.rules(made)) == {"shop": [role]} or logins_only(composer.rules(made))["shop"]
    assert set(composer.roles(made)) == {"postgres"}


async def test_instance_connect_pushes_a_key_for_each_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = "i-0123456789abcdef0"
    section = {"kind": "instance_connect", "user": "ubuntu", "instance": instance, "region": "eu-central-1"}
    made = bundle(section)
    sent: list[dict[str, str]] = []

    class Service:
        def send_ssh_public_key(self, **wanted: str) -> dict[str, object]:
            sent.append(wanted)
            return {"Success": True}

    asked: list[tuple[str, str | None]] = []

    def client(service: str, region: str | None = None) -> Service:
        asked.append((service, region))
        return Service()

    monkeypatch.setattr("blastwall.aws.clients.client", client)
    (rule,) = Composer({}).rules(made)["shop"]
    assert isinstance(rule, FetchedRules) and rule.user == "ubuntu"
    session = Session("s-1", Principal("i", "s", "a"), "shop", 0.0, 1.0)
    one, two = [await rule.fetch(session, made.targets["shop"]) for _ in range(2)]
    assert one.kind == "instance_connect" and one.expires_at is not None
    assert one.secret is not None and one.secret.reveal().startswith("-----BEGIN OPENSSH PRIVATE KEY")
    assert one.secret != two.secret
    assert asked == [("ec2-instance-connect", "eu-central-1")]
    assert [(each["InstanceId"], each["InstanceOSUser"]) for each in sent] == [(instance, "ubuntu")] * 2
    assert sent[0]["SSHPublicKey"].endswith(" s-1")


async def test_an_admin_whose_password_is_missing_is_told_at_the_first_use() -> None:
    made = bundle({"kind": "role", "profile": "app", "admin": {"user": "adm", "password_env": "ADM"}})
    (role,) = Composer({}).rules(made)["shop"]
    assert isinstance(role, RoleRules)
    with pytest.raises(UpstreamFault, match="no ADM"):
        await role.admin.login()


async def test_iam_makes_tokens_for_the_targets_own_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    from blastwall.aws import rds

    asked: list[tuple[object, ...]] = []

    class Tokens:
        async def credential(self, *order: object) -> Credential:
            asked.append(order)
            return Credential(str(order[2]), Secret("t"), "iam")

    monkeypatch.setattr(rds, "Tokens", Tokens)
    made = bundle({"kind": "role", "profile": "app", "admin": {"user": "adm", "iam": True}, "login": "iam", "rds": RDS})
    (role,) = Composer({}).rules(made)["shop"]
    assert isinstance(role, RoleRules) and role.token is not None
    await role.admin.login()
    await role.token("bw_s_1")
    assert asked == [("127.0.0.1", 5432, "adm", "eu-central-1"), ("127.0.0.1", 5432, "bw_s_1", "eu-central-1")]


def test_a_machine_without_aws_loads_nothing_of_it() -> None:
    import subprocess

    code = (
        "import sys; from pathlib import Path; from blastwall.config.bundle import load_bundle; "
        "from blastwall.config.vending import Composer; b = load_bundle(Path(sys.argv[1])); c = Composer({}); "
        "c.rules(b); c.roles(b); sys.exit('boto3' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code, str(CONFIG)], cwd=root, check=False, timeout=60).returncode == 0


def test_a_protocol_without_logins_says_so() -> None:
    with pytest.raises(OurFault, match="static credential"):
        Composer({})._roles_of("ssh")


def test_aws_roles_by_name() -> None:
    role = {
        "role_arn": "arn:aws:iam::123456789012:role/r",
        "region": "eu-central-1",
        "allow": [{"actions": ["s3:*"], "resources": ["*"]}],
    }
    made = bundle({"kind": "static", "user": "u"}, aws_roles={"reports": role})
    assert profiles_of(made)["reports"].role_arn.endswith("role/r")
