"""Every problem of gateway.yaml, at its line, in words that say what to do."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from blastwall.config.document import read_document
from blastwall.config.loader import references, shape
from blastwall.errors import Problem
from tests.blastwall.config.configuration import GATEWAY
from tests.blastwall.identity.saml_forge import idp


def found(text: str, directory: Path = Path("/etc/blastwall")) -> list[tuple[int, str]]:
    document = read_document(text, "gateway.yaml")
    shaped, problems = shape(document, directory)
    if shaped is not None:
        problems += references(shaped, document)
    assert all(isinstance(problem, Problem) and problem.file == "gateway.yaml" for problem in problems)
    return [(problem.line, problem.message) for problem in problems]


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def test_a_sound_file_has_no_problem() -> None:
    assert found(GATEWAY) == []


@pytest.mark.parametrize(
    ("old", "new", "at", "expected"),
    [
        ("    host: db.example", "    hots: db.example", "hots", "unknown key 'hots'; did you mean 'host'?"),
        ("    host: db.example", "    hots: db.example", "  shop:", "targets.shop.host is missing; add it"),
        ("port: 5432", "port: '5432'", "port", "targets.shop.port: input should be a valid integer, not '5432'"),
        ("port: 5432", "port: 70000", "port", "less than or equal to 65535, not 70000"),
        ("protocol: postgres", "protocol: oracle", "protocol", "unknown protocol 'oracle'; known are"),
        ("postgres: 127.0.0.1:7432", "oracle: 127.0.0.1:7432", "oracle", "unknown protocol 'oracle'; known are"),
        ("postgres: 127.0.0.1:7432", "postgres: 7432", "7432", "listen.postgres"),
        ("      password_env: SHOP_PASSWORD", "      password: hunter2", "hunter2", "secrets never stand in this file"),
        ("SHOP_PASSWORD", "hunter 2", "hunter", "should match pattern"),
        ("databases: [shop]", "database: shop", "database", "unknown key 'database'; did you mean 'databases'?"),
        ("databases: [shop]", "databases: shop", "databases", "targets.shop.options.databases: write a list, such as"),
        ("  shop:\n", "  other: 5\n  shop:\n", "other", "targets.other: write keys with values below it, not 5"),
        ("audience: blastwall", "audience: 7", "audience", "identity.issuers.0.audience: write text, not 7"),
        ("audience: blastwall", "audience: b\n      claims: {agent: a, groups: 7}", "groups", ".claims.groups: write"),
        ("databases: [shop]", "tls: {mode: require}", "  tls: {mode", "tls stands beside options"),
        ("databases: [shop]", "statement_timeout_ms: -1", "statement_timeout_ms", "greater than or equal to 0"),
        ("mode: require", "mode: prefer", "prefer", "targets.shop.tls.mode: input should be 'disable', 'require'"),
        ("mode: require", "mode: require\n      ca_file: x.pem", "tls:", "ca_file is only looked at with mode verify-full"),
        ("mode: require", "ca_file: x.pem", "ca_file", "there is no file /etc/blastwall/x.pem"),
        ("databases: [shop]", "catalogue_file: c.json", "catalogue_file", "there is no file /etc/blastwall/c.json"),
        ("insecure_local: true", "insecure_local: false", "insecure_local", "tokens travel in the clear"),
        ("insecure_local: true", "insecure_local: 'yes'", "insecure_local", "valid boolean"),
        ("127.0.0.1:7432", "0.0.0.0:7432", "0.0.0.0", "loopback only, not on 0.0.0.0"),
        ("version: 1", "version: 2", "version", "version: input should be 1, not 2"),
        ("https://idp.example", "http://idp.example", "http://", "issuer cannot be fetched from: it must be https"),
        ("https://idp.example", "https://idp.example|x", "https://", "without '|'"),
        ("audience: blastwall", "audience: blastwall\n      algorithms: [HS256]", "issuer: h", "algorithms must be some of"),
        ("audience: blastwall", "audience: blastwall\n      jwks_url: ftp://x", "jwks_url", "jwks_url cannot be fetched"),
        ("rows: 10", "rows: many", "rows", "targets.shop.budgets.rows"),
        ("environment: demo", "environment: yes", "environment", "targets.shop.labels.environment"),
        ("  shop:\n", "  Shop:\n", "Shop", "should match pattern"),
    ],
)  # fmt: skip
def test_a_problem_has_its_line_and_says_what_to_do(old: str, new: str, at: str, expected: str) -> None:
    assert old in GATEWAY
    text = GATEWAY.replace(old, new)
    problems = found(text)
    assert any(line == line_of(text, at) and expected in message for line, message in problems), problems


def test_what_stands_where_a_password_belongs_is_not_repeated() -> None:
    text = GATEWAY.replace("SHOP_PASSWORD", "'hunter2 is the password'")
    assert "hunter2" not in str(found(text))
    assert found(text)


def test_all_problems_of_all_parts_come_at_once() -> None:
    text = (
        GATEWAY.replace("version: 1", "version: 2")
        .replace("hots", "host")
        .replace("port: 5432", "port: x")
        .replace("databases: [shop]", "databse: [shop]")
        .replace("mode: require", "mode: maybe")
        .replace("audience: blastwall", "audence: blastwall")
    )
    lines = [line for line, _ in found(text)]
    for part in ("version", "port: x", "databse", "maybe", "audence"):
        assert line_of(text, part) in lines


@pytest.mark.parametrize("text", ["", "just text", "[1, 2]", "targets: [a]", "targets: {shop: 3}", "targets: {3: {}}"])
def test_files_of_another_shape_are_problems_not_crashes(text: str) -> None:
    assert found(text)


def test_two_issuers_or_two_credentials_of_one_name() -> None:
    text = GATEWAY.replace("targets:", "    - issuer: https://idp.example\n      audience: other\ntargets:").replace(
        "    credential:\n      kind: static\n      user: agent\n      password_env: SHOP_PASSWORD",
        "    credential:\n      - {kind: static, user: agent}\n      - {kind: static, user: agent}",
    )
    assert found(text) == [
        (9, "issuer 'https://idp.example' is given twice; keep one"),
        (line_of(text, "credential:"), "two credentials for user 'agent'; keep one"),
    ]


def test_a_target_that_nothing_listens_for() -> None:
    text = GATEWAY.replace("  postgres: 127.0.0.1:7432", "  mysql: 127.0.0.1:7432")
    assert any("add listen.postgres" in message for _, message in found(text))


def test_relative_paths_start_at_the_directory_and_absolute_ones_stay(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    text = GATEWAY.replace("mode: require", "ca_file: ca.pem").replace(
        "insecure_local: true", "tls: {certificate: server.crt, key: /run/key.pem}"
    )
    shaped, problems = shape(read_document(text, "gateway.yaml"), tmp_path)
    assert shaped is not None
    assert problems == []
    assert shaped.config.tls is not None
    assert shaped.config.tls.certificate == tmp_path / "server.crt"
    assert shaped.config.tls.key == Path("/run/key.pem")
    assert shaped.options["shop"].tls.ca_file == tmp_path / "ca.pem"  # type: ignore[attr-defined]  # PostgreSQL's own
    assert references(shaped, read_document(text, "gateway.yaml")) == []


CORP = """\
  saml:
    corp:
      entity_id: https://idp.example/saml
      sso_url: https://idp.example/sso
      certificates: ["CERTIFICATE"]
      signed: assertion
targets:"""


def federated(old: str = "", new: str = "") -> str:
    der = base64.b64encode(idp().certificate.public_bytes(Encoding.DER)).decode()
    section = CORP.replace(old, new, 1) if old else CORP
    return GATEWAY.replace("targets:", section.replace("CERTIFICATE", der))


def test_a_saml_provider_needs_what_its_metadata_says() -> None:
    assert found(federated()) == []


@pytest.mark.parametrize(
    ("old", "new", "at", "expected"),
    [
        ("https://idp.example/sso", "http://idp.example/sso", "sso_url", "no place to send people: it must be https"),
        ("CERTIFICATE", "MIIC", "certificates", "not one certificate: paste the X509Certificate"),
        ('["CERTIFICATE"]', "[]", "certificates", "certificates is empty; name at least one"),
        ('["CERTIFICATE"]', "[idp.pem]", "certificates", "not one certificate"),
        ("assertion", "nothing", "signed", "input should be 'any', 'response', 'assertion' or 'both'"),
        ("signed: assertion", "max_lifetime_minutes: 1000.0", "max_lifetime", "less than or equal to 720"),
        ("entity_id", "entityId", "entityId", "unknown key 'entityId'; did you mean 'entity_id'?"),
        ("    corp:", "    Corp:", "Corp", "should match pattern"),
        (
            "targets:",
            "    partner: {entity_id: https://idp.example/saml, sso_url: https://x.example, certificates: [CERTIFICATE]}\ntargets:",
            "partner",
            "'corp' is the same identity provider; keep one",
        ),
    ],
)
def test_what_is_wrong_with_a_saml_provider_is_said_at_its_line(old: str, new: str, at: str, expected: str) -> None:
    text = federated(old, new)
    problems = found(text)
    assert any(line == line_of(text, at) and expected in message for line, message in problems), problems


def test_no_issuer_may_have_the_name_of_the_gateways_own_tokens() -> None:
    issuer = "    - {issuer: 'urn:blastwall:saml:corp', audience: blastwall, jwks_url: 'https://x.example'}\n  saml:"
    text = federated().replace("  saml:", issuer, 1)
    assert any("has the name of its tokens" in message for _, message in found(text))
