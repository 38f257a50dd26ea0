from collections.abc import Iterator

import pytest

from blastwall.errors import UpstreamFault
from blastwall.model import Secret
from blastwall.protocols.postgres.members import members_of
from rig.postgres import EmbeddedPostgres


@pytest.fixture(scope="module")
def roles(postgres18: EmbeddedPostgres) -> Iterator[str]:
    """mem_iam was granted to mem_direct, which was granted to mem_through; mem_stranger has nothing."""
    postgres18.psql(
        "CREATE ROLE mem_iam; CREATE ROLE mem_direct; CREATE ROLE mem_through; CREATE ROLE mem_stranger;"
        "GRANT mem_iam TO mem_direct; GRANT mem_direct TO mem_through"
    )
    yield f"{postgres18.dsn()}?sslmode=disable"
    postgres18.psql("DROP ROLE mem_through, mem_direct, mem_stranger, mem_iam")


def test_members_are_found_directly_and_through_others(roles: str) -> None:
    assert members_of(roles, "mem_iam") == {"mem_direct", "mem_through"}
    assert members_of(roles, "mem_stranger") == frozenset()


def test_a_database_without_the_role_has_no_members(roles: str) -> None:
    assert members_of(roles, "no such role") == frozenset()
    assert members_of(roles, "it's '; DROP ROLE mem_stranger; --") == frozenset()
    assert members_of(roles, "mem_direct") == {"mem_through"}


def test_who_cannot_log_in_learns_nothing(postgres18: EmbeddedPostgres, roles: str) -> None:
    url = roles.replace(f":{postgres18.password}@", "@")
    with pytest.raises(UpstreamFault):
        members_of(url, "mem_iam", Secret("wrong"))
