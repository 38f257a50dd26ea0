"""Commands and shells through the gateway with OpenSSH's own client, against OpenSSH's own server."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncssh
import paramiko
import pytest

from rig.hosts import SshKeys
from tests.e2e.hosts import Agent, arrive, home
from tests.e2e.people import awaited, deciding, requests
from tests.e2e.stacks import ROOT, Stack, begin


def test_a_command_runs_as_on_the_host(agent: Agent) -> None:
    done = agent.ssh("cat notes/numbers.txt | sort -r | head -n 2")
    assert (done.returncode, done.stdout) == (0, b"two\nthree\n"), done.stderr
    assert agent.ssh("cat ~/notes/numbers.txt | sed -n 2p").stdout == b"two\n"
    assert agent.ssh("awk '/error/ {print $2}' app.log").stdout == b"disk\n"
    assert agent.ssh("ls nope").returncode == 2
    assert agent.ssh("id -un", user="deploy@web").returncode == 0


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        ("cd notes && cat numbers.txt | wc -l; pwd", b"3\n"),
        ("test -f app.log && echo there || echo none", b"there\n"),
        ("cat no*/rep*.txt >/dev/null && echo *.log n?tes", b"app.log notes\n"),
        ('for f in app.log notes/numbers.txt; do wc -l < "$f"; done', b"2\n3\n"),
        ("if [ -d notes ]; then cd notes && ls numbers.*; fi", b"numbers.txt\n"),
        ("find notes -name '*.txt' | xargs cat | sort | head -n 1", None),
        ("bash -lc 'cd notes && ls *.txt' 2>&1 | wc -l", b"2\n"),
        ('ls nope 2>/dev/null\necho "exit $?: $(id -u)"', None),
    ],
)
def test_lists_and_wildcards_run_where_each_part_may(agent: Agent, line: str, printed: bytes | None) -> None:
    done = agent.ssh(line)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    assert done.stdout.startswith(printed) if printed is not None else done.stdout


def test_a_wildcard_that_fits_a_secret_is_refused(hosts: Stack, agent: Agent) -> None:
    for line in ("cat .e*", "cd notes && cat ../.en?", "cat .*", "head .ssh/*"):
        done = agent.ssh(line)
        assert done.returncode == 126, line
        assert b"planted-secret" not in done.stdout + done.stderr


def test_input_reaches_the_command_and_its_end_too(agent: Agent) -> None:
    payload = os.urandom(300_000)
    done = agent.ssh("cat", stdin=payload)
    assert done.stdout == payload
    assert agent.ssh("wc -c", stdin=b"12345").stdout.strip() == b"5"


def test_output_and_errors_stay_apart(agent: Agent) -> None:
    done = agent.ssh("ls app.log nope")
    assert done.stdout == b"app.log\n"
    assert b"nope" in done.stderr


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("rm -rf notes", b"rm -rf"),
        ("ls; rm app.log", b"removes"),
        ("ls & rm app.log", b"'&'"),
        ("cd notes && cat ../.env", b"Secrets are kept"),
        ("ls && sh -c 'cat .env'", b"Secrets are kept"),
        ("echo $(rm app.log)", b"'$'"),
        ("cat .env", b"Secrets are kept"),
        ("find . -delete", b"-delete"),
        ("python3 -c 1", b"runs code"),
        ("psql -c 'DROP TABLE orders'", b"around the gateway"),
        ("scp -t .", b"connections of its own"),
        ("bash", b"is a shell"),
    ],
)
def test_what_may_not_run_does_not(agent: Agent, line: str, says: bytes) -> None:
    before = sorted(str(path) for path in home(agent.stack).rglob("*"))
    done = agent.ssh(line)
    assert done.returncode == 126
    assert done.stderr.startswith(b"blastwall: refused")
    assert says in done.stderr or says == b"rm -rf", done.stderr
    assert sorted(str(path) for path in home(agent.stack).rglob("*")) == before


def test_a_link_to_a_secret_is_seen_through(hosts: Stack, agent: Agent) -> None:
    link = home(hosts) / "innocent"
    link.unlink(missing_ok=True)
    link.symlink_to(".env")
    try:
        done = agent.ssh("cat innocent")
        assert done.returncode == 126
        assert b"planted-secret" not in done.stdout + done.stderr
        assert b"planted-secret" not in agent.sftp(f"get innocent {agent.directory}/got").stderr
        assert not (agent.directory / "got").exists()
    finally:
        link.unlink()


def test_a_change_waits_for_a_person_and_runs_once(hosts: Stack, agent: Agent) -> None:
    with deciding(hosts, agent.name) as decided:
        done = agent.ssh("mkdir made")
    assert done.returncode == 0, done.stderr
    assert len(decided) == 1
    assert b"held for approval" in done.stderr
    assert (home(hosts) / "made").is_dir()
    again = agent.process("rmdir made")  # destroys: refused at once
    assert again.wait(20) == 126
    (home(hosts) / "made").rmdir()


def test_a_person_may_say_no(hosts: Stack, agent: Agent) -> None:
    with deciding(hosts, agent.name, "deny", "--note", "not today"):
        done = agent.ssh("touch denied.txt")
    assert done.returncode == 77
    assert b"not today" in done.stderr
    assert not (home(hosts) / "denied.txt").exists()


def test_leaving_withdraws_the_question(hosts: Stack, agent: Agent) -> None:
    waiting = agent.process("touch withdrawn.txt")
    filed = awaited(hosts, agent.name)
    waiting.kill()
    waiting.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        (now,) = [each for each in requests(hosts, agent.name) if each.request.id == filed.request.id]
        if now.status.state == "withdrawn":
            break
        time.sleep(0.05)
    assert now.status.state == "withdrawn"
    assert not (home(hosts) / "withdrawn.txt").exists()


def test_a_shell_waits_for_a_person_and_is_recorded(hosts: Stack, agent: Agent) -> None:
    with deciding(hosts, agent.name):
        seen = on_terminal(agent, [b"echo nice-$((40+2)); stty size\n", b"exit 7\n"], lambda seen: b"nice-42" in seen)
    assert b"nice-42" in seen
    recorded = hosts.recorded(agent.name)
    shown = "".join(value["text"] for value in recorded if value["type"] == "streamed")
    assert "nice-42" in shown
    assert "echo nice-$((40+2))" in shown
    assert [value["tag"] for value in recorded if value["type"] == "done"] == ["exit 7"]


def test_a_password_at_its_prompt_is_not_recorded(hosts: Stack, agent: Agent) -> None:
    asked = b"stty -echo; printf 'Password: '; read word; stty echo; echo got-${#word}\n"
    with deciding(hosts, agent.name):
        seen = on_terminal(
            agent, [asked, b"hunter2hunter\n", b"exit\n"], lambda seen: seen.rstrip().endswith(b"Password:"), at=1
        )
    assert b"got-13" in seen
    for entry in hosts.settled(agent.name):
        assert "hunter2hunter" not in str(hosts.played(entry))
        with entry.open() as file:
            assert b"hunter2hunter" not in file.read()


def test_a_command_has_no_terminal_whatever_its_client_has(agent: Agent) -> None:
    """A program that sees a terminal may open a pager, and a pager starts shells."""
    listed = agent.process("ls", options=["-tt"])
    out, err = listed.communicate(timeout=30)
    assert b"app.log\r\n" in out, (out, err)  # in columns on a terminal, where names are not alone on their lines
    counted = agent.process("wc -c", options=["-tt"])
    out, _ = counted.communicate(b"abc\r\x04", timeout=30)
    assert (counted.returncode, out.strip()) == (0, b"4")
    endless = agent.process("tail -f app.log", options=["-tt"])
    assert endless.stdout is not None and endless.stdin is not None
    assert endless.stdout.readline().endswith(b"\r\n")
    endless.stdin.write(b"\x03")
    endless.stdin.flush()
    assert endless.wait(30) != 0


def on_terminal(agent: Agent, lines: list[bytes], ready: Callable[[bytes], bool], at: int = 1) -> bytes:
    """Type lines at a pseudo-terminal, the one at ``at`` when what is seen is ``ready``, and return all that is seen."""
    ours, theirs = pty.openpty()
    command = ["ssh", *agent.options, "-tt", "-p", str(agent.stack.port), "-l", "web", "127.0.0.1"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True)
    os.close(theirs)
    seen = b""
    sent = prompts = 0
    try:
        while True:
            try:
                seen += os.read(ours, 65536)
            except TimeoutError:
                raise
            except OSError:  # the other side is closed
                break
            prompted = seen.count(b"$ ") > prompts
            if sent < len(lines) and (prompted if sent != at else ready(seen)):
                os.write(ours, lines[sent])
                prompts += prompted
                sent += 1
        process.wait(20)
        return seen
    finally:
        os.close(ours)
        if process.poll() is None:
            process.kill()
            process.wait()


def test_a_kill_ends_a_shell_at_once(hosts: Stack, agent: Agent) -> None:
    with deciding(hosts, agent.name):
        process = agent.process("-tt")
        assert process.stdout is not None
        while b"$ " not in process.stdout.read1():
            pass
    began = time.monotonic()
    hosts.blastwall("sessions", "kill", hosts.session(agent.name)["id"])
    assert process.wait(20) == 77
    assert time.monotonic() - began < 10


def test_nothing_is_forwarded(agent: Agent) -> None:
    for options in (["-R", "0:127.0.0.1:9"], ["-A"], ["-X"]):
        done = agent.ssh("env", user="web")
        assert done.returncode == 126
        asking = agent.process("echo ok", options=[*options, "-o", "ExitOnForwardFailure=yes"])
        out, _ = asking.communicate(timeout=20)
        assert (asking.returncode == 255) == (options[0] == "-R")
        assert out in (b"", b"ok\n")
    tunnel = agent.process("-N", options=["-W", f"127.0.0.1:{agent.stack.port}"])
    out, _ = tunnel.communicate(timeout=20)
    assert out == b""


def test_environment_that_decides_what_runs_is_dropped(agent: Agent) -> None:
    done = agent.process("echo ok", options=["-o", "SetEnv=LD_PRELOAD=/nonexistent.so"])
    out, err = done.communicate(timeout=20)
    assert out == b"ok\n"
    assert b"ld.so" not in err


def test_a_certificate_opens_nothing_once_its_agent_is_killed_or_expired(hosts: Stack, tmp_path: Path) -> None:
    agent = arrive(hosts, tmp_path / "ssh")
    assert agent.ssh("uptime").returncode == 0
    hosts.blastwall("sessions", "kill", hosts.session(agent.name)["id"])
    done = agent.ssh("uptime")
    assert done.returncode == 77, done.stderr
    assert b"was ended" in done.stderr, done.stderr


def test_a_certificate_of_another_authority_is_nobodys(hosts: Stack, tmp_path: Path) -> None:
    agent = arrive(hosts, tmp_path / "ssh")
    foreign = asyncssh.generate_private_key("ssh-ed25519")
    key = asyncssh.read_private_key(str(agent.directory / "id_ed25519"))
    mine = asyncssh.read_certificate(str(agent.directory / "id_ed25519-cert.pub"))
    forged = foreign.generate_user_certificate(key, mine._key_id)
    (agent.directory / "id_ed25519-cert.pub").write_bytes(forged.export_certificate("openssh"))
    done = agent.ssh("uptime")
    assert done.returncode == 255
    assert b"Permission denied" in done.stderr


def test_a_token_in_a_certificate_of_ours_cannot_be_exchanged(hosts: Stack, tmp_path: Path) -> None:
    """Whoever had the authority's key but not the sealed token of an agent gets no further."""
    agent = arrive(hosts, tmp_path / "ssh")
    authority = asyncssh.read_private_key(str(hosts.state / "ssh" / "user_ca"))
    key = asyncssh.read_private_key(str(agent.directory / "id_ed25519"))
    forged = authority.generate_user_certificate(key, "blastwall1.AAAA")
    (agent.directory / "id_ed25519-cert.pub").write_bytes(forged.export_certificate("openssh"))
    done = agent.ssh("uptime")
    assert done.returncode == 255
    assert b"blastwall ssh login" in done.stderr


def test_a_changed_host_key_is_refused(hosts: Stack, rig_directory: Path, tmp_path: Path, stacks: list[Stack]) -> None:
    def another(document: dict[str, dict[str, dict[str, object]]]) -> None:
        web = document["targets"]["web"]
        del web["local"]
        other = asyncssh.generate_private_key("ssh-ed25519").export_public_key("openssh").decode().split()
        web["host"], web["port"] = hosts.servers["web"]
        web["options"] = {"host_keys": [" ".join(other[:2])]}

    stack = begin(rig_directory / "swapped", ROOT / "tests" / "fixtures" / "ssh", "web", another, protocol="ssh")
    stacks.append(stack)
    done = arrive(stack, tmp_path / "ssh").ssh("uptime")
    assert done.returncode == 70
    assert b"another host key" in done.stderr


def test_the_recording_proves_itself_and_tells_what_ran(hosts: Stack, agent: Agent) -> None:
    agent.ssh("cat app.log")
    agent.ssh("rm app.log")
    asked = {value["text"]: value["verdict"] for value in hosts.asked(agent.name) if value["kind"] == "execute"}
    assert asked == {"exec: cat app.log": "permit", "exec: rm app.log": "denied"}
    shown = [value["text"] for value in hosts.recorded(agent.name) if value["type"] == "streamed"]
    assert shown == ["error: disk\nok"]
    for entry in hosts.recordings(agent.name):
        assert "intact" in hosts.blastwall("recordings", "verify", entry.id)


def test_what_is_sent_is_our_own_text(hosts: Stack, agent: Agent) -> None:
    agent.ssh("c''at   'app.log'")
    (asked,) = [value for value in hosts.asked(agent.name) if value["kind"] == "execute"]
    assert asked["text"] == "exec: c''at   'app.log'"
    assert asked["upstream"] == "exec: cat app.log"


def test_many_channels_on_one_connection(hosts: Stack, agent: Agent, tmp_path: Path) -> None:
    control = ["-o", f"ControlPath={tmp_path}/c", "-o", "ControlMaster=auto", "-o", "ControlPersist=20"]
    assert agent.process("uptime", options=control).wait(20) == 0
    several = [agent.process(f"seq {number} {number + 2000}", options=control) for number in range(8)]
    for number, process in enumerate(several):
        out, err = process.communicate(timeout=30)
        assert out.split() == [str(each).encode() for each in range(number, number + 2001)], err
    agent.run(["ssh", *control, *agent.options, "-O", "exit", "127.0.0.1"])


def test_a_large_output_arrives_whole(hosts: Stack, agent: Agent) -> None:
    done = agent.ssh("seq 1 2000000")
    wanted = hashlib.sha256(b"".join(b"%d\n" % number for number in range(1, 2_000_001))).hexdigest()
    assert hashlib.sha256(done.stdout).hexdigest() == wanted


def test_paramiko_and_asyncssh_with_a_token_as_password(hosts: Stack) -> None:
    token = hosts.token()
    with paramiko.SSHClient() as client:
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        client.connect(
            "127.0.0.1", hosts.port, username="web", password=token, allow_agent=False, look_for_keys=False, timeout=20
        )
        _, out, _ = client.exec_command("cat app.log", timeout=20)
        assert out.read() == b"error: disk\nok\n"
        with client.open_sftp() as files:
            assert "app.log" in files.listdir(".")
            with files.open("notes/numbers.txt") as file:
                assert file.read() == b"one\ntwo\nthree\n"


async def test_asyncssh_by_host_certificate(hosts: Stack) -> None:
    authority = SshKeys(hosts.state / "ssh").public("host_ca")
    known = asyncssh.import_known_hosts(f"@cert-authority * {authority}\n")
    async with asyncssh.connect(
        "127.0.0.1", hosts.port, username="deploy@web", password=hosts.token(), known_hosts=known, config=None
    ) as connection:
        done = await connection.run("uptime", check=True)
        assert done.exit_status == 0
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_connection("127.0.0.1", 22)


def test_a_bad_token_is_told_why(hosts: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLASTWALL_TOKEN", hosts.token(exp=1_700_000_000, iat=1_699_999_000))
    said = hosts.blastwall("ssh", "login", "--directory", str(tmp_path / "ssh"), code=4)
    assert "expired" in said
    assert not (tmp_path / "ssh").exists()


def test_connect_hands_over_to_ssh(hosts: Stack) -> None:
    command = [sys.executable, "-m", "cli", "connect", "--state", str(hosts.state), "web", "--", "cat app.log"]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, timeout=40, check=False, stdin=subprocess.DEVNULL)
    assert done.stdout == b"error: disk\nok\n", done.stderr


def test_what_looks_like_a_secret_is_masked_in_output(hosts: Stack, agent: Agent) -> None:
    done = agent.ssh("cat notes/report.txt")
    assert done.stdout == b"reported by ***************, key ********************\n"
    for entry in hosts.settled(agent.name):
        with entry.open() as file:
            assert b"AKIAIOSFODNN7EXAMPLE" not in file.read()
    assert [value["fields"]["kinds"] for value in hosts.recorded(agent.name) if value.get("name") == "detected"]


def test_a_moderator_follows_a_shell_and_its_recording_plays(hosts: Stack, agent: Agent) -> None:
    """While the shell is still open; and nothing that is printed there steers the terminal of whoever looks."""
    hostile = r"printf '\033]0;forged\007\033[2J\033]52;c;AAAA\007seen-%s\n' $((40+2))" + "\n"
    follower: list[subprocess.Popen[str]] = []

    def followed(seen: bytes) -> bool:
        if b"seen-42" not in seen:
            return False
        command = [sys.executable, "-m", "cli", "recordings", "follow", hosts.recordings(agent.name)[-1].id]
        command += ["--state", str(hosts.state)]
        watching = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        follower.append(watching)
        assert watching.stdout is not None
        for line in watching.stdout:
            if "seen-42" in line and "printf" not in line:
                assert "\\x1b]0;forged\\x07" in line, "sequences are shown, not obeyed"
                return True
        return False

    with deciding(hosts, agent.name):
        on_terminal(agent, [hostile.encode(), b"exit 5\n"], followed)
    (watching,) = follower
    rest, _ = watching.communicate(timeout=30)
    assert "exit 5" in rest
    (entry,) = hosts.settled(agent.name)
    cast = hosts.blastwall("recordings", "export", entry.id).split("\n")
    header = json.loads(cast[0])
    assert (header["version"], header["width"] > 0, header["height"] > 0) == (2, True, True)
    events = [json.loads(line) for line in cast[1:] if line]
    assert all(len(event) == 3 and event[1] == "o" for event in events)
    assert [event[0] for event in events] == sorted(event[0] for event in events)
    shown = "".join(event[2] for event in events)
    assert "seen-42" in shown
    sequences = re.findall(r"\x1b[^m]{0,8}m?", shown)
    assert all(re.fullmatch(r"\x1b\[[0-9;]*m", each) for each in sequences), "colours of ours, and nothing else"
    assert "\x07" not in shown
