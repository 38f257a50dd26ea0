"""Where a task listens: what the load balancer offers may be a port that an unprivileged user must not take. Pure."""

from __future__ import annotations

LOWEST = 1024  # below, the kernel asks for a capability, and tasks have none
SHIFT = 20_000


def inside(port: int) -> int:
    """The task's port for a load balancer's: the same, or moved up (22 to 20022)."""
    return port if port >= LOWEST else port + SHIFT
