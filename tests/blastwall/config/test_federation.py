from __future__ import annotations

from typing import Any

from blastwall.config.federation import federations_of
from blastwall.config.model import Identity
from blastwall.identity.claims import ClaimNames
from blastwall.identity.saml_signature import Signed
from tests.blastwall.identity.saml_forge import idp, stranger

ISSUER = {"issuer": "https://idp.example", "audience": "blastwall"}


def identity(**changes: Any) -> Identity:
    corp = {
        "entity_id": "https://idp.example/saml",
        "sso_url": "https://idp.example/sso",
        "certificates": [idp().pem.decode()],
    }
    return Identity.model_validate({"issuers": [ISSUER], "saml": {"corp": corp | changes}})


def test_what_is_left_out_follows_from_the_pages_address() -> None:
    found = federations_of(identity(), "https://gateway.example")["corp"]
    assert found.provider.service == "https://gateway.example/saml/corp"
    assert found.provider.acs == "https://gateway.example/saml/corp/acs"
    assert found.provider.claims == ClaimNames("NameID", "groups", "NameID")
    assert (found.provider.signed, found.max_lifetime) == (Signed.ANY, 3600.0)
    assert found.provider.certificates == (idp().certificate,)


def test_what_is_said_is_taken() -> None:
    found = federations_of(
        identity(
            service="urn:our:gateway",
            signed="both",
            max_lifetime_minutes=15.0,
            certificates=[idp().pem.decode(), stranger().pem.decode()],
            claims={"agent": "agent", "groups": ["dept", "role"], "on_behalf_of": None},
        ),
        "https://gateway.example",
    )["corp"]
    assert found.provider.service == "urn:our:gateway" and found.provider.signed is Signed.BOTH
    assert found.provider.claims == ClaimNames("agent", ("dept", "role"), None)
    assert len(found.provider.certificates) == 2 and found.max_lifetime == 900.0
    assert found.provider.acs == "https://gateway.example/saml/corp/acs"


def test_nobody_configured_is_nobody() -> None:
    assert federations_of(Identity.model_validate({"issuers": [ISSUER]}), "https://gateway.example") == {}
