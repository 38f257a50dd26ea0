"""A PostgreSQL target's own settings: ``options:`` and ``tls:`` of a target in gateway.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator

# NAMEDATALEN - 1 bytes is what the server keeps of a name; a longer one would be a different name there.
Name = Annotated[str, Field(min_length=1, max_length=63)]
Milliseconds = Annotated[StrictInt, Field(ge=0, le=86_400_000)]  # a day; 0 switches the timeout off


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tls(_Section):
    """How the gateway speaks to the server. Any mode but ``verify-full`` trusts whoever sits between.

    ``ca_file``: PEM certificates to trust instead of the machine's own.
    """

    mode: Literal["disable", "require", "verify-full"] = "verify-full"
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _ca_is_used(self) -> Tls:
        if self.ca_file is not None and self.mode != "verify-full":
            raise ValueError(f"ca_file is only looked at with mode verify-full, not {self.mode}")
        return self


class Options(_Section):
    """Settings of one target. Without ``databases`` any may be named, without ``database_users`` any of the target's
    credentials; who names no user gets the first credential's.

    ``allowed_functions`` are user functions (``schema.name``) an owner vouches for: they then count as harmless reads.
    ``catalogue_file`` is a snapshot for judging statements without a connection. ``attribution`` says where the
    database is told session, agent and person: in its connection's application_name, in a comment behind each text.
    ``look_ahead_ms``: where a rule or a person wants to know what a statement would do, a second connection with the
    session's login has so long to find out (milliseconds; 0: it is unknown).
    """

    databases: tuple[Name, ...] = ()
    database_users: tuple[Name, ...] = ()
    search_path: tuple[Name, ...] = ()
    allowed_functions: tuple[Annotated[str, Field(pattern=r"^[^.]+\.[^.]+$")], ...] = ()
    catalogue_file: Path | None = None
    statement_timeout_ms: Milliseconds = 30_000
    lock_timeout_ms: Milliseconds = 5_000
    idle_in_transaction_ms: Milliseconds = 60_000
    allow_listen: StrictBool = False
    look_ahead_ms: Annotated[StrictInt, Field(ge=0, le=10_000)] = 1_000
    attribution: tuple[Literal["application_name", "comment"], ...] = ("application_name",)
    tls: Tls = Tls()
