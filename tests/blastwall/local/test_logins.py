"""One-time codes: for one sign-in, for ten minutes, of whoever can write the state directory."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from blastwall.local.logins import CODE_SECONDS, Login, make, take

NOW = 1_800_000_000.0


def test_a_code_signs_in_once(tmp_path: Path) -> None:
    code = make(tmp_path, "olga", ["owners"], NOW)
    assert take(tmp_path, code, NOW + 1) == Login("olga", ("owners",))
    assert take(tmp_path, code, NOW + 1) is None


def test_a_code_gets_too_old_and_is_swept(tmp_path: Path) -> None:
    assert take(tmp_path, make(tmp_path, "olga", [], NOW), NOW + CODE_SECONDS) is None
    make(tmp_path, "olga", [], NOW)
    (old,) = (tmp_path / "logins").iterdir()
    os.utime(old, (NOW, NOW))
    make(tmp_path, "olga", [], NOW + CODE_SECONDS + 1)
    assert old not in list((tmp_path / "logins").iterdir())


def test_guesses_and_paths_are_no_codes(tmp_path: Path) -> None:
    make(tmp_path, "olga", [], NOW)
    for code in ("", "guess", "../logins", "\x00", "é" * 50):
        assert take(tmp_path, code, NOW) is None


def test_the_code_itself_is_not_kept_and_nobody_else_reads_about_it(tmp_path: Path) -> None:
    code = make(tmp_path, "olga", [], NOW)
    (file,) = (tmp_path / "logins").iterdir()
    assert code not in file.name and code not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0 and file.parent.stat().st_mode & 0o077 == 0


def test_of_many_at_once_one_gets_in(tmp_path: Path) -> None:
    code = make(tmp_path, "olga", [], NOW)
    found: list[Login | None] = []
    people = [threading.Thread(target=lambda: found.append(take(tmp_path, code, NOW))) for _ in range(8)]
    for one in people:
        one.start()
    for one in people:
        one.join()
    assert len([login for login in found if login is not None]) == 1
