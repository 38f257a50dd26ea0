from __future__ import annotations

import pytest

from blastwall.shell.paths import above_secrets, escapes, itself, plain, secret, within


@pytest.mark.parametrize(
    ("written", "is_plain"),
    [
        ("/a/./b/../c", "/a/c"),
        ("//etc//shadow", "/etc/shadow"),
        ("/../../etc", "/etc"),
        ("a", "~/a"),
        (".", "~"),
        ("a/..", "~"),
        ("./a/", "~/a"),
        ("../x", "../x"),
        ("a/../../x", "../x"),
    ],
)
def test_spellings_come_to_one(written: str, is_plain: str) -> None:
    assert plain(written) == is_plain


def test_the_target_knows_better() -> None:
    assert plain("log", {"log": "/etc/shadow"}) == "/etc/shadow"
    assert plain("other", {"log": "/etc/shadow"}) == "~/other"


def test_leaving_home_is_nowhere() -> None:
    assert escapes(plain("../x"))
    assert escapes(plain(".."))
    assert not escapes(plain("..x"))


@pytest.mark.parametrize(
    "path",
    [
        "/etc/shadow",
        "/etc/shadow-",
        "~/.ENV",
        "/users/x/.SSH/id_rsa",
        "~/SERVER.PEM",
        "/etc/sudoers.d/x",
        "/proc/1/environ",
        "/proc/self/environ",
        "/proc/self",
        "/dev/sda",
        "/root",
        "/sys/kernel/debug/x",
        "~/.ssh",
        "~/.ssh/id_ed25519",
        "/users/x/.ssh/authorized_keys",
        "/users/x/.aws/credentials",
        "/srv/app/.env",
        "/srv/app/.env.production",
        "/srv/tls/server.key",
        "~/.bash_history",
        "/run/secrets/token",
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
    ],
)
def test_places_of_secrets(path: str) -> None:
    assert secret(path)


@pytest.mark.parametrize(
    "path",
    ["/var/log/app.log", "/etc/passwd", "/etc/hosts", "/dev/null", "/proc/cpuinfo", "~/a.txt", "/srv/environment"],
)
def test_ordinary_places(path: str) -> None:
    assert not secret(path)


def test_descending() -> None:
    assert above_secrets("/")
    assert above_secrets("/etc")
    assert above_secrets("~")
    assert not above_secrets("/var/log")


def test_within_is_by_directories() -> None:
    assert within("/var/log/a", ["/var/log"])
    assert within("/var/log", ["/var/log"])
    assert within("/x", ["/"])
    assert not within("/var/logs", ["/var/log"])
    assert not within("~/x", ["/"])


@pytest.mark.parametrize(
    ("path", "place"),
    [("a", "~/a"), ("way/a", "~/sub/a"), ("way", "~/way"), ("way/", "~/way"), ("/a", "/a"), (".", "~"), ("/", "/")],
)
def test_a_link_stands_where_its_directory_is(path: str, place: str) -> None:
    assert itself(path, {"way": "~/sub", ".": "~"}) == place
