from pathlib import Path

import pytest

from blastwall.aws.leases import ALONE_SECONDS
from stacks.functions import TABLE, read_functions

ROOT = Path(__file__).parents[2]
ROW = '[functions.one]\nstack = "audit"\nabout = "does"\nsettings = ""\n'


def with_handler(root: Path, name: str = "one") -> Path:
    (root / "lambdas" / name).mkdir(parents=True)
    (root / "lambdas" / name / "handler.py").write_text("")
    return root


def test_a_row_has_its_defaults_and_its_names(tmp_path: Path) -> None:
    text = ROW.replace("one", "credential_vendor") + 'grants = ["a", "b"]\nnetwork = true\n'
    row = read_functions(text, with_handler(tmp_path, "credential_vendor"))["credential_vendor"]
    assert (row.title, row.handler) == ("CredentialVendor", "lambdas.credential_vendor.handler.handler")
    assert (row.grants, row.network, row.schedule, row.concurrency) == (("a", "b"), True, "", 0)


def test_a_handler_that_is_missing_stops_synthesis(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no lambdas/one/handler\.py"):
        read_functions(ROW, tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ROW + "grnats = []\n", "one: .*grnats"),
        (ROW.replace('about = "does"\n', ""), "one: .*about"),
        (ROW.replace("audit", "gateway"), "stack is one of audit, credentials, approvals, not 'gateway'"),
    ],
)
def test_a_wrong_row_is_named_with_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_functions(text, with_handler(tmp_path))


def test_every_handler_is_deployed() -> None:
    """A handler without a row would pass its own tests and exist nowhere."""
    written = {file.parent.name for file in (ROOT / "lambdas").glob("*/handler.py")}
    assert set(read_functions(TABLE.read_text(), ROOT)) == written


def test_many_sessions_end_at_once_and_no_function_outlives_what_it_has_in_hand() -> None:
    """A revoker that ran alone would be refused to all sessions but one; policies have a lock of their own instead."""
    rows = read_functions(TABLE.read_text(), ROOT)
    assert rows["session_revoker"].concurrency == 0
    assert all(row.timeout < ALONE_SECONDS for row in rows.values() if "edit-own-denials" in row.grants)
