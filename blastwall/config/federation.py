"""The SAML part of the configuration as the door takes it. Imported only where there is one: it needs XML libraries."""

from __future__ import annotations

from collections.abc import Mapping

from blastwall.config.model import Identity
from blastwall.identity.claims import ClaimNames
from blastwall.identity.saml_assertion import IdentityProvider
from blastwall.identity.saml_certificate import read_certificate
from blastwall.identity.saml_door import Federation, acs_of, service_of
from blastwall.identity.saml_signature import Signed


def federations_of(identity: Identity, origin: str) -> Mapping[str, Federation]:
    """Every SAML provider by its name. ``origin`` is where the page is, such as https://approvals.example."""
    return {
        name: Federation(
            IdentityProvider(
                name=name,
                entity_id=section.entity_id,
                certificates=tuple(map(read_certificate, section.certificates)),
                service=section.service or service_of(origin, name),
                acs=acs_of(origin, name),
                claims=ClaimNames(section.claims.agent, section.claims.groups, section.claims.on_behalf_of),
                signed=Signed(section.signed),
            ),
            section.sso_url,
            section.max_lifetime_minutes * 60,
        )
        for name, section in identity.saml.items()
    }
