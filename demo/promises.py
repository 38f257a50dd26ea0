"""What the demo claims, and whether it held."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text


@dataclass(slots=True)
class Promises:
    """Every promise is compared with what happened, shown, and remembered by name."""

    console: Console
    broken: list[str] = field(default_factory=list)
    kept: int = 0

    def check(self, name: str, actual: object, expected: object) -> bool:
        """Keep the promise if the two are equal; show both if they are not."""
        held = actual == expected
        if held:
            self.kept += 1
            self.console.print(Text("  ✓ ", style="green") + Text(name))
        else:
            self.broken.append(name)
            self.console.print(Text("  ✗ ", style="bold red") + Text(name, style="bold"))
            self.console.print(Text(f"      expected {expected!r}\n      but found {actual!r}", style="red"))
        return held

    def fail(self, name: str, reason: str) -> None:
        """Something that had to happen first did not."""
        self.broken.append(name)
        self.console.print(Text("  ✗ ", style="bold red") + Text(f"{name}: {reason}", style="bold"))
