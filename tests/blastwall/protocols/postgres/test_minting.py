"""Each name that a text defines has one of the gateway's own, and none twice."""

from __future__ import annotations

import pytest

from blastwall.errors import ClientFault
from blastwall.model import Effect, Facts, Permit
from blastwall.protocols.postgres.minting import mint
from blastwall.protocols.postgres.names import Names, Portal, Prepared
from blastwall.sql.parser import parse
from blastwall.sql.rename import names as touched

FACTS = Facts(Effect.READ, "select")


def test_what_a_text_defines_has_a_name_beside_those_that_are_there() -> None:
    names = Names()
    names.prepare(Prepared("old", names.mint("old"), "SELECT 1", FACTS))
    minted: dict[str, str] = {}
    text = touched(parse("PREPARE new AS SELECT 1; DECLARE rows CURSOR FOR SELECT 2"))
    prepared, cursors = mint(names, text, minted)
    assert prepared == {"old": "blastwall_1", "new": "blastwall_2"}
    assert cursors == {"rows": "blastwall_3"}
    assert minted == {"snew": "blastwall_2", "crows": "blastwall_3"}
    assert set(names.prepared) == {"old"}, "it is there once the server has said so"


@pytest.mark.parametrize("text", ["PREPARE mine AS SELECT 1", "DECLARE mine CURSOR FOR SELECT 1"])
def test_a_name_that_is_there_is_not_made_again(text: str) -> None:
    names = Names()
    names.prepare(Prepared("mine", names.mint("mine"), "SELECT 1", FACTS))
    names.open(Portal("mine", names.mint("mine"), FACTS, Permit("SELECT 1"), 1))
    with pytest.raises(ClientFault, match='"mine" already exists'):
        mint(names, touched(parse(text)), {})
