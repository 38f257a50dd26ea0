"""A small sound configuration directory, to be spoilt by tests."""

from __future__ import annotations

from pathlib import Path

GATEWAY = """\
version: 1
listen:
  postgres: 127.0.0.1:7432
insecure_local: true
identity:
  issuers:
    - issuer: https://idp.example
      audience: blastwall
targets:
  shop:
    protocol: postgres
    host: db.example
    port: 5432
    labels: {environment: demo}
    budgets: {rows: 10}
    credential:
      kind: static
      user: agent
      password_env: SHOP_PASSWORD
    tls:
      mode: require
    options:
      databases: [shop]
"""
POLICY = '@id("read") permit (principal in Group::"agents", action == Action::"read", resource);\n'


def write(directory: Path, gateway: str = GATEWAY, policy: str = POLICY, **more: str) -> Path:
    """Write the directory; ``more`` are further files at its top, dots written as underscores."""
    (directory / "policies").mkdir(exist_ok=True)
    (directory / "gateway.yaml").write_text(gateway)
    (directory / "policies" / "rules.cedar").write_text(policy)
    for name, text in more.items():
        (directory / name.replace("_", ".")).write_text(text)
    return directory
