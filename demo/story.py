"""The story, act by act. Each act does something as an agent would, and checks it where it cannot be argued with."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from subprocess import CompletedProcess
from typing import Any

from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from demo.held import HeldStatement
from demo.masks import TRICKS, look_at_customers
from demo.promises import Promises
from demo.stage import AGENT, PERSON, Stage

OWNER = "owner@example.test"
CLEAN_UP = "DELETE FROM carts WHERE state = 'abandoned' AND updated_at < '2026-09-10'"
OLD_CARTS = "carts WHERE state = 'abandoned' AND updated_at < '2026-09-10'"


class Story:
    """Tells it on ``stage``; every act leaves what the later ones need."""

    def __init__(self, stage: Stage, promises: Promises, console: Console) -> None:
        self.stage = stage
        self.promises = promises
        self.console = console
        self.token = stage.token("agents")
        self.ticket = ""
        self.deleted = 0
        self._played: dict[str, list[Mapping[str, Any]]] = {}

    def tell(self) -> None:
        """All acts; one that breaks is a broken promise, and the story goes on."""
        acts: tuple[Callable[[], None], ...] = (
            self.read,
            self.look_at_personal_data,
            self.drop,
            self.delete_everything,
            self.delete_with_approval,
            self.ask_again,
            self.forge,
            self.replay,
            self.audit,
        )
        for act in acts:
            title = (act.__doc__ or "").strip()
            self.console.print()
            self.console.rule(Text(title, style="bold"), align="left")
            try:
                act()
            except Exception as error:  # noqa: BLE001  # whatever it is, the promise of this act was not kept
                self.promises.fail(title, f"{type(error).__name__}: {error}")

    def read(self) -> None:
        """1. The agent reads: nothing is in its way"""
        sql = "SELECT city, count(*) FROM customers GROUP BY city ORDER BY city"
        done = self._psql(sql)
        self.promises.check("psql ran it", done.returncode, 0)
        shown = [tuple(cell.strip() for cell in line.split("|")) for line in done.stdout.splitlines() if "|" in line]
        truth = [tuple(str(cell) for cell in row) for row in self.stage.truth(sql)]
        self.promises.check("the result is the database's own", shown[1:], truth)

    def look_at_personal_data(self) -> None:
        """2. The agent reads customers: it sees masks, and its tricks do not help"""
        look_at_customers(self.stage, self.promises, self._psql)

    def drop(self) -> None:
        """3. The agent drops a table: refused, with a reason"""
        ((owner,),) = self.stage.truth("SELECT tableowner FROM pg_tables WHERE tablename = 'customers'")
        done = self._psql("DROP TABLE customers CASCADE")
        self.promises.check("the database would have let it: the agent's role owns the table", owner, "shop_agent")
        self.promises.check("psql failed", done.returncode, 1)
        self.promises.check("the error is 42501, insufficient privilege", "ERROR:  42501:" in done.stderr, True)
        self.promises.check("the error names the rule", "no-destruction" in done.stderr, True)
        self.promises.check("the error says what to do instead", "HINT:" in done.stderr, True)
        self.promises.check("the table is still there, with all rows", self.stage.count("customers"), 200)

    def delete_everything(self) -> None:
        """4. The agent forgets a WHERE: refused"""
        before = self.stage.count("carts")
        done = self._psql("DELETE FROM carts")
        self.promises.check("psql failed", done.returncode, 1)
        self.promises.check("the error names the rule", "no-unbounded-writes" in done.stderr, True)
        self.promises.check("no row is gone", self.stage.count("carts"), before)

    def delete_with_approval(self) -> None:
        """5. The agent deletes what it was asked to: held for a person, then run once"""
        before, self.deleted = self.stage.count("carts"), self.stage.count(OLD_CARTS)
        self._show(CLEAN_UP)
        with self.stage.connect(self.token) as connection:
            held = HeldStatement(connection, CLEAN_UP)
            self.ticket = held.ticket
            self.promises.check("the agent is told that it waits, and for which ticket", bool(held.ticket), True)
            self.promises.check("it still waits", held.waits, True)
            self.promises.check("while it waits no row is gone", self.stage.count("carts"), before)
            self._person("approvals", "show", held.ticket)
            done = self._person("approvals", "approve", held.ticket, "--as", OWNER, "--group", "owners")
            self.promises.check("the owner could approve", done.returncode, 0)
            outcome = held.finish()
            self.console.print(Text(f"{AGENT} is told: DELETE {outcome.rows}", style="dim"))
        self.promises.check("then it ran", (outcome.rows, outcome.message), (self.deleted, ""))
        self.promises.check("exactly those rows are gone", self.stage.count("carts"), before - self.deleted)
        self.promises.check("and there were some", self.deleted > 0, True)

    def ask_again(self) -> None:
        """6. The identical statement again: that takes a new approval"""
        self.stage.truth("INSERT INTO carts VALUES (9001, 1, 'abandoned', '2026-09-02')")
        with self.stage.connect(self.token) as connection:
            self._show(CLEAN_UP)
            held = HeldStatement(connection, CLEAN_UP)
            self.promises.check("it is held again", held.waits and bool(held.ticket), True)
            self.promises.check("under another ticket", held.ticket != self.ticket, True)
            self._person(
                "approvals", "deny", held.ticket, "--as", OWNER, "--group", "owners", "--note", "once was enough"
            )
            outcome = held.finish()
            self.console.print(Text(f"{AGENT} is told: {outcome.message}", style="dim"))
        self.promises.check("the owner's no reaches the agent", "once was enough" in outcome.message, True)
        self.promises.check("the row it would have taken is there", self.stage.count(OLD_CARTS), 1)

    def forge(self) -> None:
        """7. A token that was tampered with opens nothing"""
        head, _, signature = self.token.rpartition(".")
        swapped = signature[:10] + ("A" if signature[10] != "A" else "B") + signature[11:]
        done = self.stage.psql("SELECT 1", f"{head}.{swapped}")
        self.console.print(Text(done.stderr.rstrip(), style="dim"))
        self.promises.check("psql could not connect", done.returncode, 2)
        self.promises.check(
            "the gateway says why", "blastwall: this token does not open a session" in done.stderr, True
        )

    def replay(self) -> None:
        """8. What happened can be replayed"""
        dropped = self._recorded("DROP TABLE customers CASCADE")
        self.promises.check("the recording says that DROP TABLE was denied", dropped["verdict"], "denied")
        self.promises.check("... by which rule", dropped["policies"], ["no-destruction"])
        number, asked = next(
            (recording, event) for recording, event in self._asked(CLEAN_UP) if event["approval"] == self.ticket
        )
        self.promises.check("it says that the deletion ran, on which ticket", asked["verdict"], "permit")
        events = self._events(number)
        tags = [event["tag"] for event in events if event["type"] == "done"]
        self.promises.check("... once, and how many rows it took", tags, [f"DELETE {self.deleted}"])
        decided = [event["fields"] for event in events if event.get("name") == "approval_redeemed"]
        self.promises.check("... and who approved it", [entry["by"] for entry in decided], [[OWNER]])
        denied = [event for _, event in self._asked(CLEAN_UP) if event["verdict"] == "denied"]
        self.promises.check("it says that the second try was denied", len(denied), 1)
        self._person("recordings", "play", "--no-wait", number)
        self.promises.check(
            "every recording is whole: its hash chain holds",
            self.stage.blastwall("recordings", "verify", "--all").returncode,
            0,
        )
        self.promises.check("a byte changed in one of them is found out", self._tamper(number), 1)

    def audit(self) -> None:
        """9. And audited: who, on whose behalf, what, and what became of it"""
        events = self.stage.lines("audit", "ls", "--agent", AGENT, "--limit", "1000")
        statements = [
            event for event in events if "verdict" in event["unmapped"]["blastwall"] and event.get("query_info")
        ]
        denied = [self._audited(event) for event in statements if event["status_id"] == 2]
        expected = {
            *((sql, AGENT, PERSON, "denied") for _, sql in TRICKS),
            ("DROP TABLE customers CASCADE", AGENT, PERSON, "denied"),
            ("DELETE FROM carts", AGENT, PERSON, "denied"),
            (CLEAN_UP, AGENT, PERSON, "denied"),
        }
        self.promises.check("every refusal is an audit event, with agent and person", set(denied), expected)
        ran = [self._audited(event) for event in statements if event["status_id"] == 1]
        self.promises.check("so is the deletion that ran, once", ran.count((CLEAN_UP, AGENT, PERSON, "permit")), 1)
        self._person("audit", "ls", "--decision", "denied")

    # how it looks

    def _psql(self, sql: str) -> CompletedProcess[str]:
        self._show(sql)
        done = self.stage.psql(sql, self.token)
        self.console.print(Text((done.stderr + done.stdout).rstrip(), style="dim"))  # notices come before rows
        return done

    def _show(self, sql: str) -> None:
        self.console.print(Text(f"{AGENT} (for {PERSON}) at shop:", style="cyan"))
        self.console.print(Syntax(sql, "postgresql", background_color="default", word_wrap=True))

    def _person(self, *arguments: str) -> CompletedProcess[str]:
        self.console.print(Text(f"$ blastwall {shlex.join(arguments)}", style="bold cyan"))
        done = self.stage.blastwall(*arguments)
        self.console.print(Text((done.stdout + done.stderr).rstrip(), style="dim"))
        return done

    # where it is looked up

    def _events(self, recording: str) -> list[Mapping[str, Any]]:
        if recording not in self._played:
            self._played[recording] = self.stage.lines("recordings", "play", "--no-wait", recording)
        return self._played[recording]

    def _asked(self, sql: str) -> list[tuple[str, Mapping[str, Any]]]:
        """Every time that a recording says it was asked, oldest first."""
        recordings = [str(entry["id"]) for entry in reversed(self.stage.lines("recordings", "ls"))]
        asked = [(number, event) for number in recordings for event in self._events(number) if event["type"] == "asked"]
        return [(number, event) for number, event in asked if event["text"] == sql]

    def _recorded(self, sql: str) -> Mapping[str, Any]:
        ((_, event),) = self._asked(sql)
        return event

    def _tamper(self, number: str) -> int:
        """Change one byte in the middle of a recording, verify it, and put the byte back."""
        (file,) = (self.stage.state / "recordings").rglob(f"{number}*.bwr")
        whole = file.read_bytes()
        middle = len(whole) // 2
        file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        try:
            return self.stage.blastwall("recordings", "verify", number).returncode
        finally:
            file.write_bytes(whole)

    @staticmethod
    def _audited(event: Mapping[str, Any]) -> tuple[str, str, str, str]:
        ours = event["unmapped"]["blastwall"]
        return (
            event["query_info"].get("query_string", ""),
            event["actor"]["user"]["name"],
            ours["on_behalf_of"],
            ours["verdict"],
        )
