"""Static credentials: only with a permit, only this target's, read anew each time, from a file nobody else reads."""

from __future__ import annotations

import asyncio
import os

import pytest

from blastwall.errors import NotOffered, UpstreamFault
from blastwall.local import vendor as vendor_module
from blastwall.local.vendor import CredentialRules, LocalVendor
from blastwall.model import Denial, DenialCode, Permit, Principal, Secret, Session, Target

TARGET = Target("shop", "postgres", "127.0.0.1", 5432)
SESSION = Session("s-1", Principal("https://idp", "a", "a", token_id="t"), "shop", 0.0, 100.0)
# tests may mint: the architecture test that reserves it for the decision looks at the shipped packages
PERMIT = Permit("connect to shop")


def vendor(*rules: CredentialRules, **environ: str) -> LocalVendor:
    return LocalVendor({"shop": rules}, environ)


async def vend(vendor: LocalVendor, user: str | None = None, **changes: object):
    arguments = {"session": SESSION, "target": TARGET, "permit": PERMIT} | changes
    return await vendor.vend(**arguments, database_user=user)


async def test_a_password_from_the_environment():
    found = await vend(vendor(CredentialRules("app", password_env="PW"), PW="s3cret"))
    assert (found.user, found.secret, found.kind, found.expires_at) == ("app", Secret("s3cret"), "static", None)
    assert "s3cret" not in repr(found)


async def test_no_password_is_a_credential_of_its_own_kind():
    found = await vend(vendor(CredentialRules("app")))
    assert (found.secret, found.kind) == (None, "none")


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "password"
    file.touch(0o600)
    return file


async def test_a_rotated_file_is_used_from_the_next_connection_on(file):
    made = vendor(CredentialRules("app", password_file=str(file)))
    for password, text in (("first", "first\n"), ("second", "second\r\n"), ("third ", "third ")):
        file.write_bytes(text.encode())
        assert (await vend(made)).secret == Secret(password)


async def test_the_first_credential_is_the_default_and_others_go_by_user():
    made = vendor(CredentialRules("app", password_env="A"), CredentialRules("reader", password_env="B"), A="a", B="b")
    assert (await vend(made)).user == "app"
    assert (await vend(made, "app")).user == "app"
    found = await vend(made, "reader")
    assert (found.user, found.secret) == ("reader", Secret("b"))


@pytest.mark.parametrize("user", ["postgres", "APP", "app ", "", "app\x00"])
async def test_a_database_user_that_is_not_listed_gets_nothing(user):
    with pytest.raises(NotOffered, match="no credential for that database user"):
        await vend(vendor(CredentialRules("app")), user)


@pytest.mark.parametrize("permit", [None, True, Denial(DenialCode.POLICY, "no"), Permit("x", prepare_only=True)])
async def test_without_a_permit_to_connect_nothing_is_vended(permit):
    with pytest.raises(UpstreamFault, match="without a permit"):
        await vend(vendor(CredentialRules("app")), permit=permit)


async def test_a_session_of_another_target_gets_nothing():
    with pytest.raises(UpstreamFault, match="not for warehouse"):
        await vend(vendor(CredentialRules("app")), target=Target("warehouse", "postgres", "h", 1))


async def test_a_target_without_credentials_says_who_mends_it():
    with pytest.raises(UpstreamFault, match="operator adds one"):
        await vend(LocalVendor({}, {}))


@pytest.mark.parametrize("environ", [{}, {"PW": ""}])
async def test_a_missing_variable_names_itself(environ):
    with pytest.raises(UpstreamFault, match="no PW"):
        await vend(vendor(CredentialRules("app", password_env="PW"), **environ))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
async def test_a_file_open_to_others_is_refused(file, mode):
    file.write_text("x")
    file.chmod(mode)
    with pytest.raises(UpstreamFault, match="owner alone"):
        await vend(vendor(CredentialRules("app", password_file=str(file))))


@pytest.mark.parametrize("mode", [0o444, 0o440, 0o400])
async def test_a_secret_as_containers_mount_it_is_read(file, mode):
    file.write_text("mounted")
    file.chmod(mode)
    found = await vend(vendor(CredentialRules("app", password_file=str(file))))
    assert found.secret is not None and found.secret.reveal() == "mounted"


@pytest.mark.parametrize(
    ("mode", "owner", "mounted", "accepted"),
    [
        (0o100644, 0, True, True),  # Kubernetes: root's, on a read-only mount
        (0o100644, 0, False, False),
        (0o100444, 4711, False, False),  # somebody else's
        (0o100666, 0, True, False),  # writable as soon as the mount is
        (0o100555, 0, True, False),
    ],
)
def test_which_files_count_as_mounted_secrets(mode, owner, mounted, accepted):
    assert vendor_module._private(mode, owner, mounted) is accepted


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb\n", b"a\x00b", b"\xff\xfe", b"x" * 4097])
async def test_a_password_that_cannot_be_one_is_refused_without_showing_it(file, content):
    file.write_bytes(content)
    with pytest.raises(UpstreamFault) as caught:
        await vend(vendor(CredentialRules("app", password_file=str(file))))
    assert "xxx" not in str(caught.value)
    assert "operator" in str(caught.value)


async def test_a_missing_file_and_a_pipe_do_not_hold_up_the_gateway(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("none", "pipe", "."):
        made = vendor(CredentialRules("app", password_file=str(tmp_path / name)))
        with pytest.raises(UpstreamFault, match="password file"):
            await asyncio.wait_for(vend(made), 5)


@pytest.mark.parametrize("bad", [{"user": ""}, {"user": "a", "password_env": "A", "password_file": "/b"}])
def test_rules_that_contradict_themselves_cannot_be_made(bad):
    with pytest.raises(ValueError, match="static credential"):
        CredentialRules(**bad)


async def test_tok_040_what_goes_to_the_target_never_holds_the_token():
    """The vendor is given the session, which knows the token's hash only; a credential is the operator's own text."""
    found = await vend(vendor(CredentialRules("app", password_env="PW"), PW="s3cret"))
    assert found.secret is not None
    assert SESSION.principal.token_id not in (found.user, found.secret.reveal())
    assert not any("token" in name and name != "token_id" for name in Principal.__slots__)


async def test_revoking_leaves_the_credential_as_it_is():
    made = vendor(CredentialRules("app"))
    await made.revoke(SESSION)
    assert (await vend(made)).user == "app"
