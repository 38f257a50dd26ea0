"""An SSH target's own settings, and what the gateway's SSH listener needs of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StringConstraints

Path_ = Annotated[str, StringConstraints(pattern=r"^(~|/)[ -~]*$", max_length=1024)]
User = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_.-]{0,31}$")]
Place = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:\[\]-]+:[0-9]{1,5}$")]
HostKey = Annotated[str, StringConstraints(pattern=r"^(@cert-authority )?(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Options(_Section):
    """Settings of one target.

    ``host_keys`` are the host's public keys as ssh-keyscan prints them (without the name), or after ``@cert-authority``
    the key of an authority that signs host keys; none is trusted on first use. ``users`` are the operating system's
    users that agents may be (none listed: the credentials decide). ``readable`` and ``writable`` are directories, ``~``
    is the home directory. ``shell_minutes`` is how long an interactive shell lives. ``destinations`` may be reached by
    forwarded connections (``ssh -L``), where policy permits them too. Of the content of files that are copied
    ``recorded_file_bytes`` of each and ``recorded_session_bytes`` of all in a session go into recordings, the rest by
    its size and digest; on a target with a budget of bytes all of it does.
    """

    host_keys: tuple[HostKey, ...] = ()
    host_keys_file: Path | None = None
    users: tuple[User, ...] = ()
    readable: tuple[Path_, ...] = ("/", "~")
    writable: tuple[Path_, ...] = ("~", "/tmp")  # noqa: S108  # a directory of the target's
    shell_minutes: Annotated[StrictFloat, Field(gt=0, le=720)] = 30.0
    destinations: tuple[Place, ...] = ()
    resolve_paths: StrictBool = True
    recorded_file_bytes: Annotated[StrictInt, Field(ge=0)] = 16 * 1024 * 1024
    recorded_session_bytes: Annotated[StrictInt, Field(ge=0)] = 256 * 1024 * 1024
    most_channels: Annotated[StrictInt, Field(ge=1, le=256)] = 32


class Gateway(_Section):
    """``protocols.ssh`` of gateway.yaml: the keys of the gateway itself, each a private key file in OpenSSH's form.

    ``host_key`` names the gateway to clients, with ``host_certificate`` if an authority signed it. ``user_ca`` signs
    what ``blastwall ssh login`` hands out, and no host may trust it. ``upstream_ca`` signs what the gateway shows to
    hosts that trust it (credential kind ``certificate``).
    """

    host_key: Path
    host_certificate: Path | None = None
    user_ca: Path
    upstream_ca: Path | None = None
