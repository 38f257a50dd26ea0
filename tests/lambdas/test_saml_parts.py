"""A sign-in by SAML as its functions serve it: events in, events out, and the token verifier believes what they sign."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from blastwall.config.bundle import load_bundle
from blastwall.errors import OurFault
from blastwall.identity.saml_sign_in import hashed, secret
from blastwall.local.clock import ManualClock
from lambdas import credential_parts, saml_parts
from lambdas.saml_acs.handler import handler as acs
from lambdas.token_verifier.handler import handler as verify
from tests.blastwall.aws import stage
from tests.blastwall.identity import saml_forge as forge
from tests.blastwall.identity.saml_forge import ENTITY, NOW, idp

ROOT = Path(__file__).parents[2]
CONTEXT = SimpleNamespace(function_name="f", memory_limit_in_mb=256, invoked_function_arn="arn", aws_request_id="test")
ORIGIN = "https://page.example"
VERIFIER = secret(bytes(32))


@dataclass
class Cloud:
    clock: ManualClock
    dynamodb: Any

    def post(self, path: str, **form: str) -> tuple[int, str]:
        event = {
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": "",
            "headers": {"content-type": "application/x-www-form-urlencoded"},
            "requestContext": {"http": {"method": "POST"}},
            "body": base64.b64encode(urlencode(form).encode()).decode(),
            "isBase64Encoded": True,
        }
        answer = acs(event, CONTEXT)
        return answer["statusCode"], base64.b64decode(answer["body"]).decode()

    def begin(self) -> dict[str, Any]:
        status, body = self.post("/saml/begin", idp="corp", challenge=hashed(VERIFIER), port="40000")
        assert status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found

    def sign(self, begun: dict[str, Any]) -> dict[str, str]:
        request = forge.asked(begun["url"]).get("ID")
        place = f"{ORIGIN}/saml/corp/acs"
        inside = forge.assertion(answered=request, recipient=place, audience=f"{ORIGIN}/saml/corp")
        document = idp().sign(forge.response(inside, more=f' Destination="{place}" InResponseTo="{request}"'))
        return {"SAMLResponse": base64.b64encode(document.encode()).decode(), "RelayState": begun["id"]}


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    file = tmp_path / "config" / "gateway.yaml"
    document = yaml.safe_load(file.read_text())
    document["identity"]["saml"] = {
        "corp": {
            "entity_id": ENTITY,
            "sso_url": "https://idp.example/sso",
            "certificates": [idp().pem.decode()],
            "claims": {"agent": "agent"},
        }
    }
    file.write_text(yaml.safe_dump(document))
    with stage.aws(monkeypatch):
        dynamodb = stage.client("dynamodb")
        dynamodb.create_table(
            TableName="sign-ins",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        )
        key = stage.client("kms").create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
        for name, value in {
            "POWERTOOLS_TRACE_DISABLED": "1",
            "BLASTWALL_CONFIG": str(tmp_path / "config"),
            "BLASTWALL_CONFIG_VERSION": load_bundle(tmp_path / "config").version,
            "BLASTWALL_SIGN_INS_TABLE": "sign-ins",
            "BLASTWALL_GATEWAY_KEY_ID": key,
            "BLASTWALL_PAGE_URL": f"{ORIGIN}/",
            "BLASTWALL_SESSIONS_TABLE": "sessions",
            "BLASTWALL_LEASES_TABLE": "leases",
        }.items():
            monkeypatch.setenv(name, value)
        clock = ManualClock(NOW)
        monkeypatch.setattr(saml_parts, "SystemClock", lambda: clock)
        monkeypatch.setattr(credential_parts, "SystemClock", lambda: clock)
        saml_parts.forget()
        credential_parts.forget()
        yield Cloud(clock, dynamodb)
        saml_parts.forget()
        credential_parts.forget()


def test_who_signs_in_gets_a_token_that_the_verifier_takes(cloud: Cloud) -> None:
    begun = cloud.begin()
    status, page = cloud.post("/saml/corp/acs", **cloud.sign(begun))
    (code, *_) = re.findall(r"code=([A-Za-z0-9_-]{43})", page)
    assert status == 200
    assert cloud.post("/saml/token", id=begun["id"], code=code, verifier="x" * 43)[0] == 403
    status, body = cloud.post("/saml/token", id=begun["id"], code=code, verifier=VERIFIER)
    assert status == 200
    who = verify({"token": json.loads(body)["token"]}, CONTEXT)["principal"]
    assert (who["issuer"], who["subject"], who["agent"]) == ("urn:blastwall:saml:corp", "ada@corp.example", "reporter")
    assert cloud.post("/saml/token", id=begun["id"], code=code, verifier=VERIFIER)[0] == 403


def test_an_answer_counts_once_and_neither_token_nor_code_is_kept(cloud: Cloud) -> None:
    begun = cloud.begin()
    answer = cloud.sign(begun)
    _, page = cloud.post("/saml/corp/acs", **answer)
    assert cloud.post("/saml/corp/acs", **answer)[0] == 403
    (code, *_) = re.findall(r"code=([A-Za-z0-9_-]{43})", page)
    kept = json.dumps(cloud.dynamodb.scan(TableName="sign-ins")["Items"])
    assert code not in kept and hashed(code) in kept and "assertion#" in kept
    assert VERIFIER not in kept


def test_a_token_signed_by_another_key_is_refused(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = cloud.begin()
    _, page = cloud.post("/saml/corp/acs", **cloud.sign(begun))
    (code, *_) = re.findall(r"code=([A-Za-z0-9_-]{43})", page)
    token = json.loads(cloud.post("/saml/token", id=begun["id"], code=code, verifier=VERIFIER)[1])["token"]
    other = stage.client("kms").create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    monkeypatch.setenv("BLASTWALL_GATEWAY_KEY_ID", other)
    credential_parts.forget()
    fault = verify({"token": token}, CONTEXT)["fault"]
    assert fault["kind"] == "token"


def test_without_its_key_the_function_says_so_and_works_again_when_it_is_back(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OurFault("KMS does not answer")

    with monkeypatch.context() as without:
        without.setattr(saml_parts, "KmsTokenKey", broken)
        status, body = cloud.post("/saml/begin", idp="corp", challenge=hashed(VERIFIER))
        assert status == 503 and "KMS" not in body
    assert cloud.begin()["id"]


def test_what_is_no_request_is_refused(cloud: Cloud) -> None:
    assert acs({"version": "2.0"}, CONTEXT)["statusCode"] == 400
    assert cloud.post("/saml/nobody/acs", SAMLResponse="x")[0] == 404
