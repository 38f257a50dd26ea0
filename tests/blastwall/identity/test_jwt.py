"""Tokens: what opens, and what each way of bending one runs into."""

from __future__ import annotations

import base64
import dataclasses
import json

import jwt as pyjwt
import pytest

from blastwall.errors import TokenFault
from blastwall.identity.claims import ClaimNames
from blastwall.identity.jwt import IssuerRules, token_id, unverified_issuer, verify
from blastwall.identity.keys import UnknownKey
from blastwall.model import Secret


@pytest.mark.parametrize("kid", ["ec", "rsa", "ed"])
def test_a_good_token_becomes_its_principal(forge, kid):
    token = forge.token(kid=kid)
    principal = forge.verify(token)
    assert (principal.issuer, principal.subject, principal.agent) == ("https://idp.example", "agent-7", "reporter")
    assert principal.groups == {"analysts"}
    assert principal.on_behalf_of == "alice@corp.example"
    assert (principal.issued_at, principal.expires_at) == (forge.now - 10, forge.now + 3600)
    assert principal.token_id == token_id(Secret(token))
    assert len(principal.token_id) == 64


def test_nothing_of_the_token_itself_is_kept_in_the_principal(forge):
    token = forge.token()
    assert not any(part in repr(forge.verify(token)) for part in token.split("."))


# --- what PyJWT accepts by itself -----------------------------------------------------------------------------------


def accepted_by_the_library(forge, token: str) -> bool:
    """What a caller gets who gives PyJWT a key, an algorithm, the audience and the issuer, and trusts it with the rest."""
    claims = pyjwt.decode(
        token,
        forge.private["ec"].public_key(),
        algorithms=["ES256"],
        audience="blastwall",
        issuer="https://idp.example",
        options={"verify_iat": False, "verify_nbf": False, "verify_exp": False},
    )
    return isinstance(claims, dict)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"exp": ...}, "no 'exp'", id="no-exp"),
        pytest.param({"iat": ...}, "no 'iat'", id="no-iat"),
        pytest.param({"sub": ...}, "no 'sub'", id="no-sub"),
        pytest.param({"exp": None}, "no 'exp'", id="null-exp"),
        pytest.param({"exp": "9999999999"}, "whole number", id="exp-as-text"),
        pytest.param({"exp": 1e308}, "whole number", id="exp-1e308"),
        pytest.param({"exp": 10**300}, "whole number", id="exp-huge-integer"),
        pytest.param({"exp": 1_800_000_600.5}, "whole number", id="exp-with-a-fraction"),
        pytest.param({"exp": True}, "whole number", id="exp-true"),
        pytest.param({"iat": "1799999990"}, "whole number", id="iat-as-text"),
        pytest.param({"iat": True}, "whole number", id="iat-true"),
        pytest.param({"iat": -1}, "whole number", id="iat-before-time"),
        pytest.param({"nbf": "0"}, "whole number", id="nbf-as-text"),
        pytest.param({"nbf": None}, "whole number", id="nbf-null"),
        pytest.param({"aud": ["other", "blastwall"]}, "shared", id="aud-shared"),
        pytest.param({"aud": ["other", "blastwall"], "azp": "other"}, "shared", id="aud-shared-azp-of-another"),
        pytest.param({"exp": 1_800_000_000 + 43_200}, "at most 43200", id="lives-too-long"),
    ],
)
def test_what_the_library_lets_pass_is_refused_here(forge, changes, says):
    token = forge.token(**changes)
    if changes.get("nbf", 0) is not None:
        assert accepted_by_the_library(forge, token)
    with pytest.raises(TokenFault, match=says):
        forge.verify(token)


def test_a_claim_named_twice_is_refused_although_the_library_takes_the_last(forge):
    payload = json.dumps(forge.claims()).encode()[:-1] + b', "agent": "admin"}'
    token = forge.sign(forge.header(), payload)
    assert accepted_by_the_library(forge, token)
    with pytest.raises(TokenFault, match="names a member twice"):
        forge.verify(token)


def test_a_member_named_twice_deep_inside_is_refused(forge):
    payload = json.dumps(forge.claims()).encode()[:-1] + b', "act": {"x": [{"sub": "a", "sub": "b"}]}}'
    with pytest.raises(TokenFault, match="names a member twice"):
        forge.verify(forge.sign(forge.header(), payload))


def test_a_header_member_named_twice_is_refused(forge):
    header = b'{"typ":"at+jwt","alg":"ES256","kid":"other","kid":"ec"}'
    token = forge.sign(header, forge.claims())
    assert accepted_by_the_library(forge, token)
    with pytest.raises(TokenFault, match=r"header does not read \(names a member twice\)"):
        forge.verify(token)


@pytest.mark.parametrize("filler", ["", "x", "xx"])
def test_padding_that_the_library_takes_off_is_refused(forge, filler):
    header, payload, signature = forge.token(filler=filler).split(".")
    token = f"{header}.{payload}{'=' * (-len(payload) % 4) or '===='}.{signature}"
    with pytest.raises(TokenFault, match="not base64url"):
        forge.verify(token)


def test_a_not_canonical_last_character_is_refused(forge):
    token = forge.token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]  # the same bytes to a lenient decoder
    assert base64.urlsafe_b64decode(twin.split(".")[2] + "==") == base64.urlsafe_b64decode(token.split(".")[2] + "==")
    with pytest.raises(TokenFault, match="not base64url"):
        forge.verify(twin)


@pytest.mark.parametrize("bent", [" {}", "{}\n", "{} ", "{}\x00", "Bearer {}"])
def test_a_token_has_one_spelling_only(forge, bent):
    with pytest.raises(TokenFault):
        forge.verify(bent.format(forge.token()))


# --- the signature --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kid", ["ec", "rsa", "ed"])
def test_one_changed_bit_of_the_payload_breaks_the_signature(forge, kid):
    header, _, signature = forge.token(kid=kid).split(".")
    _, other, _ = forge.token(kid=kid, agent="admin").split(".")
    with pytest.raises(TokenFault, match="signature does not verify"):
        forge.verify(f"{header}.{other}.{signature}")


def test_another_key_under_a_known_kid_does_not_verify(forge):
    with pytest.raises(TokenFault, match="signature does not verify"):
        forge.verify(forge.sign(forge.header("ec"), forge.claims(), "evil"))


def test_the_header_cannot_choose_another_algorithm_for_a_key(forge):
    token = forge.sign(forge.header("rsa", alg="RS512"), forge.claims(), "rsa")
    with pytest.raises(TokenFault, match="not signed the way"):
        forge.verify(token, dataclasses.replace(forge.rules, algorithms=frozenset({"RS256", "RS512"})))


def test_a_key_of_an_algorithm_the_issuer_may_not_use_does_not_verify(forge):
    with pytest.raises(TokenFault, match="not signed the way"):
        forge.verify(forge.token(kid="rsa"), dataclasses.replace(forge.rules, algorithms=frozenset({"ES256"})))


def test_a_missing_kid_is_refused_among_several_keys_and_accepted_with_one(forge):
    token = forge.token(header={"kid": ...})
    with pytest.raises(TokenFault, match="names no key"):
        forge.verify(token)
    assert forge.verify(token, keys=forge.key_set("ec")).agent == "reporter"


@pytest.mark.parametrize("kid", ["../../dev/null", "' OR 1=1", "ec\x00", "EC"])
def test_kid_is_nothing_but_a_dictionary_key(forge, kid):
    with pytest.raises(UnknownKey):
        forge.verify(forge.token(header={"kid": kid}))


@pytest.mark.parametrize("kid", [7, None, ["ec"], "", "k" * 257])
def test_a_kid_that_is_not_short_text_is_refused(forge, kid):
    with pytest.raises(TokenFault, match="key id"):
        forge.verify(forge.token(header={"kid": kid}))


# --- header ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "members",
    [{"crit": ["b64"], "b64": True}, {"crit": []}, {"b64": False}, {"b64": True}, {"zip": "DEF"}, {"enc": "A256GCM"}],
)
def test_header_extensions_are_refused(forge, members):
    with pytest.raises(TokenFault, match="not accepted here"):
        forge.verify(forge.token(header=members))


def test_keys_and_addresses_in_the_header_are_not_read(forge):
    header = {
        "jku": "https://evil.example/jwks",
        "x5u": "https://evil.example/c",
        "x5c": ["MII"],
        "jwk": forge.jwk("evil"),
    }
    assert forge.verify(forge.token(header=header)).agent == "reporter"
    with pytest.raises(TokenFault, match="signature does not verify"):
        forge.verify(forge.sign(forge.header("ec", **header), forge.claims(), "evil"))


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "JWT"])
def test_the_listed_types_pass_in_any_spelling_of_the_rfc(forge, typ):
    assert forge.verify(forge.token(header={"typ": typ})).agent == "reporter"


@pytest.mark.parametrize("typ", [..., "", "dpop+jwt", "logout+jwt", "secevent+jwt", "kb+jwt", 1, None])
def test_other_types_are_refused(forge, typ):
    with pytest.raises(TokenFault, match="not an access token"):
        forge.verify(forge.token(header={"typ": typ}))


def test_a_token_without_typ_passes_only_where_configured(forge):
    rules = dataclasses.replace(forge.rules, types=frozenset({""}))
    assert forge.verify(forge.token(header={"typ": ...}), rules).agent == "reporter"


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "n"}, {"at_hash": "x"}, {"c_hash": "x"}, {"events": {}},
        {"token_use": "id"}, {"typ": "Refresh"}, {"typ": "ID"}, {"typ": "Offline"}, {"token_type": "refresh"}, {"token_use": None},
    ],
)  # fmt: skip
def test_other_kinds_of_token_are_refused_by_what_they_carry(forge, claims):
    with pytest.raises(TokenFault, match="not an access token"):
        forge.verify(forge.token(**claims))


@pytest.mark.parametrize("claims", [{"token_use": "access"}, {"typ": "Bearer"}])
def test_providers_own_marks_of_an_access_token_pass(forge, claims):
    assert forge.verify(forge.token(**claims)).agent == "reporter"


# --- claims ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "issuer", ["https://idp.example/", "https://IDP.example", "https://idp.example ", ["https://idp.example"], 1]
)
def test_the_issuer_matches_character_by_character(forge, issuer):
    with pytest.raises(TokenFault, match="issuer"):
        forge.verify(forge.token(iss=issuer))


@pytest.mark.parametrize("audience", ["other", "blastwall ", "", [], ["other"], {"blastwall": 1}, ["blastwall", 1], 1])
def test_the_audience_is_ours(forge, audience):
    with pytest.raises(TokenFault, match="audience"):
        forge.verify(forge.token(aud=audience))


@pytest.mark.parametrize(
    "claims", [{"aud": ["blastwall"]}, {"aud": ["blastwall", "other"], "azp": "blastwall"}, {"azp": "client-9"}]
)
def test_an_audience_of_ours_alone_or_issued_to_us_passes(forge, claims):
    assert forge.verify(forge.token(**claims)).agent == "reporter"


def test_the_second_of_expiry_is_expired_and_the_one_before_is_not(forge):
    token = Secret(forge.token())
    assert verify(token, forge.rules, forge.keys, forge.now + 3599.9).agent == "reporter"
    with pytest.raises(TokenFault, match="has expired"):
        verify(token, forge.rules, forge.keys, forge.now + 3600)


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_thirty_seconds_of_skew_are_forgiven_and_no_more(forge, claim):
    assert forge.verify(forge.token(**{claim: forge.now + 30})).agent == "reporter"
    with pytest.raises(TokenFault, match="not valid yet"):
        forge.verify(forge.token(**{claim: forge.now + 31}))


def test_a_token_that_ends_before_it_begins_is_refused(forge):
    with pytest.raises(TokenFault):
        forge.verify(forge.token(iat=forge.now + 20, exp=forge.now))


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"-Infinity"])
def test_numbers_outside_json_are_refused(forge, constant):
    payload = json.dumps(forge.claims()).encode()[:-1] + b', "x": ' + constant + b"}"
    with pytest.raises(TokenFault, match="not JSON"):
        forge.verify(forge.sign(forge.header(), payload))


@pytest.mark.parametrize(
    "payload", [b"[]", b'"x"', b"", b"{", b"\xff", b"\xef\xbb\xbf{}", b'{"a":"\\ud800"}', b"[" * 3000, b'{"a":' * 900]
)
def test_a_payload_that_is_no_bounded_json_object_is_refused(forge, payload):
    with pytest.raises(TokenFault):
        forge.verify(forge.sign(forge.header(), payload))


def test_the_limit_of_size_is_judged_before_anything_is_read(forge):
    whole = forge.token(filler="x" * 5000)
    assert len(whole) < 8192
    assert forge.verify(whole).agent == "reporter"
    with pytest.raises(TokenFault, match="longer than 8192"):
        forge.verify(forge.token(filler="x" * 8192))


def test_reasons_do_not_repeat_what_the_token_says(forge):
    for changes in (
        {"iss": "evil<script>"},
        {"aud": "evil<script>"},
        {"agent": "evil<script>\n"},
        {"exp": "evil<script>"},
    ):
        with pytest.raises(TokenFault) as caught:
            forge.verify(forge.token(**changes))
        assert "evil" not in str(caught.value)


# --- rules and small parts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": ""}, {"issuer": "a|b"}, {"audience": ""}, {"algorithms": frozenset()}, {"algorithms": frozenset({"HS256"})},
        {"algorithms": frozenset({"none"})}, {"types": frozenset()}, {"leeway": 31.0}, {"leeway": -1.0}, {"max_lifetime": 0.0},
        {"max_lifetime": float("inf")}, {"max_lifetime": float("nan")},
    ],
)  # fmt: skip
def test_rules_that_open_too_much_cannot_be_made(changes):
    with pytest.raises(ValueError, match="must"):
        IssuerRules(**({"issuer": "https://idp.example", "audience": "blastwall"} | changes))


def test_the_agent_comes_from_the_configured_claim(forge):
    rules = dataclasses.replace(
        forge.rules, claims=ClaimNames(agent="act.sub", groups="realm.roles", on_behalf_of="sub")
    )
    principal = forge.verify(forge.token(act={"sub": "robot"}, realm={"roles": ["dba"]}), rules)
    assert (principal.agent, principal.groups, principal.on_behalf_of) == ("robot", {"dba"}, "agent-7")


def test_the_unverified_issuer_needs_the_form_of_a_token(forge):
    assert unverified_issuer(Secret(forge.token(iss="x"))) == "x"
    for bad in ("", "a.b", "a.b.c", forge.token(iss=...), forge.token(iss=["x"])):
        with pytest.raises(TokenFault):
            unverified_issuer(Secret(bad))
