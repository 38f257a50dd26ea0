"""A catalogue read from real servers, with and without TLS, and told plainly when it cannot be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from blastwall.errors import Unreachable, UpstreamFault
from blastwall.model import Secret
from blastwall.protocols.postgres.live import read_catalogue
from rig.certificates import Certificates
from rig.postgres import EmbeddedPostgres


@pytest.fixture(scope="module")
def seeded(postgres18: EmbeddedPostgres, database18: str) -> Iterator[str]:
    postgres18.psql("CREATE TABLE orders (id int PRIMARY KEY, total numeric)", database=database18)
    yield database18


def test_it_reads_what_the_database_holds(postgres18: EmbeddedPostgres, seeded: str) -> None:
    catalogue = read_catalogue(f"{postgres18.dsn(seeded)}?sslmode=disable")
    assert catalogue.database == seeded
    assert catalogue.server_version >= 180000
    orders = catalogue.relation("public", "orders", ())
    assert orders is not None
    assert [column.name for column in orders.columns] == ["id", "total"]


def test_the_password_may_stay_out_of_the_url(postgres18: EmbeddedPostgres, seeded: str) -> None:
    url = postgres18.dsn(seeded).replace(f":{postgres18.password}@", "@")
    assert postgres18.password not in url
    assert read_catalogue(f"{url}?sslmode=disable", Secret(postgres18.password)).database == seeded
    with pytest.raises(UpstreamFault):
        read_catalogue(f"{url}?sslmode=disable", Secret("wrong"))


def test_tls_is_verified_unless_told_otherwise(postgres17: EmbeddedPostgres, certificates: Certificates) -> None:
    url = postgres17.dsn()
    with pytest.raises(UpstreamFault, match="TLS"):
        read_catalogue(url)
    assert read_catalogue(f"{url}?sslrootcert={certificates.ca}").server_version >= 170000


def test_a_server_without_tls_is_not_spoken_to_in_the_clear_by_default(postgres18: EmbeddedPostgres) -> None:
    with pytest.raises(UpstreamFault, match="does not offer TLS"):
        read_catalogue(postgres18.dsn())


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "write postgresql://"),
        ("mysql://u@h/d", "write postgresql://"),
        ("postgresql://h/d", "write postgresql://"),
        ("postgresql://u@h/d?sslmode=prefer", "sslmode must be one of"),
        ("postgresql://u@h/d?options=-c%20x=y", "unknown options"),
        ("postgresql://u@h:port/d", "Port"),
    ],
)
def test_what_is_no_url_of_a_database(url: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        read_catalogue(url)


def test_nobody_there(postgres18: EmbeddedPostgres) -> None:
    with pytest.raises(Unreachable, match=r"cannot reach the database at 127\.0\.0\.1:1: Connection refused\Z"):
        read_catalogue("postgresql://u@127.0.0.1:1/d?sslmode=disable")
