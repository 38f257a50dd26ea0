"""Once a minute: how many connections live, for scaling and the dashboard, whether the certificate is about to end, and
protection of the task while any connection lives.

The count goes to standard output in CloudWatch's embedded metric format; ECS is asked, through its agent, not to take a
task away that has connections.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
"""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

log = logging.getLogger("blastwall.pulse")

NAMESPACE, SERVICE = "Blastwall", "gateway"
SECONDS = 60.0
PROTECTED_MINUTES = 60  # renewed at each beat: a gateway that hangs is not protected for longer
AGENT_SECONDS = 5.0
ENDING_SECONDS = 14 * 86_400.0  # left of the certificate when somebody should be told


@dataclass(slots=True)
class Pulse:
    """``live`` counts connections, ``now`` gives epoch seconds; ``agent`` is the ECS agent's address or empty."""

    live: Callable[[], int]
    now: Callable[[], float]
    out: TextIO
    agent: str = ""
    protected: bool = False
    certificate_ends: float | None = None  # when, in epoch seconds; None: the gateway has none
    happened: Callable[[], dict[str, float]] = dict  # metrics of what has happened since the last beat

    async def beat_for_ever(self) -> None:
        """Runs until it is cancelled; a beat that fails is told and does not stop the next."""
        while True:
            await self.beat()
            await asyncio.sleep(SECONDS)

    async def beat(self) -> None:
        """One count, and protection as it says."""
        live = self.live()
        counted: dict[str, float] = {"LiveConnections": live, **self.happened()}
        if self.certificate_ends is not None:
            counted["CertificateEnding"] = int(self.certificate_ends - self.now() < ENDING_SECONDS)
        self.out.write(json.dumps(metrics(counted, self.now())) + "\n")
        self.out.flush()
        if self.agent and (live or self.protected):
            try:
                await asyncio.to_thread(protect, self.agent, bool(live))
                self.protected = bool(live)
            except (OSError, ValueError) as fault:
                log.warning("the task cannot be protected from being scaled in: %s", fault)


def metrics(values: dict[str, float], now: float) -> dict[str, object]:
    """An embedded metric document; ``now`` in seconds."""
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [["service"]],
        "Metrics": [{"Name": name, "Unit": "Count"} for name in sorted(values)],
    }
    about = {"Timestamp": int(now * 1000), "CloudWatchMetrics": [directive]}
    return {"_aws": about, "service": SERVICE, **values}


def protect(agent: str, enabled: bool) -> None:
    """Ask the agent to protect this task, or no longer. Raises OSError or ValueError when it does not."""
    wanted: dict[str, object] = {"ProtectionEnabled": enabled}
    if enabled:
        wanted["ExpiresInMinutes"] = PROTECTED_MINUTES
    request = urllib.request.Request(  # noqa: S310  the agent's own address, from the task's environment
        f"{agent}/task-protection/v1/state",
        data=json.dumps(wanted).encode(),
        headers={"Content-Type": "application/json"},
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=AGENT_SECONDS) as answer:  # noqa: S310  as above
        said = json.loads(answer.read(65_536))
    if said.get("failure") or said.get("error"):
        raise ValueError(str(said.get("failure") or said.get("error")))
