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
#: Renewed at each beat: a gateway that hangs is not protected for longer, and neither is one that a deployment replaces
#: (ECS ends no task that is protected, and CloudFormation waits for it with the whole update).
PROTECTED_MINUTES = 5
#: After so many beats in a row it is let go for some: should ECS not say so, no deployment waits for more than an hour.
MOST_BEATS, RESTING_BEATS = 55, 3
BLOCKED = "DEPLOYMENT_BLOCKED"  # why ECS renews no protection: a deployment waits for tasks that have it
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
    beats: int = 0  # in a row that it has been protected for
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
        wanted = bool(live) and self._may_ask()
        if self.agent and (wanted or self.protected):
            await self._protect(wanted)

    def _may_ask(self) -> bool:
        self.beats = self.beats + 1 if self.protected or self.beats >= MOST_BEATS else 0
        if self.beats >= MOST_BEATS + RESTING_BEATS:
            self.beats = 0
        return self.beats < MOST_BEATS

    async def _protect(self, wanted: bool) -> None:
        try:
            await asyncio.to_thread(protect, self.agent, wanted)
            self.protected = wanted
        except (OSError, ValueError) as fault:
            log.warning("the task cannot be protected from being scaled in: %s", fault)
            if wanted and BLOCKED in str(fault):  # it makes way: its sessions have the time that draining gives
                await self._protect(False)


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
