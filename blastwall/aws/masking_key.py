"""The key of hash and fake in a task: a secret that the Data stack generates once and that stays when the stack goes.

The container's agent reads it from Secrets Manager with the execution role as a task starts, so that the gateway's own
role reads no secrets. Another value is another key: see docs/masking.md.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from blastwall.errors import ConfigFault, Problem
from blastwall.model import Secret

VARIABLE = "BLASTWALL_MASKING_KEY"
SHORTEST = 32  # characters


class TaskMaskingKey:
    """``ports.MaskingKey`` out of the environment that a task was started with.

    It is taken out of it: processes that are started later do not inherit it.
    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._key = Secret(environ.pop(VARIABLE, ""))

    def read(self) -> Secret:
        """Raises ConfigFault when the task was started without a key, or with a short one."""
        if len(self._key.reveal()) < SHORTEST:
            message = (
                f"{VARIABLE} holds no key of at least {SHORTEST} characters: the task definition takes it from the "
                "secret MaskingKey of the Data stack; put a random one there and start the task anew"
            )
            raise ConfigFault((Problem("environment", 0, message),))
        return self._key
