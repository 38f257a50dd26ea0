"""The page's behaviour: what a GET may do (read), what a POST needs, who sees what (the corpus' APR rows by id)."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from blastwall.approvals import Filed
from blastwall.approvals.desk import Desk, Provider
from blastwall.approvals.sign_in import Client
from blastwall.approvals.view import view_of
from blastwall.approvals.web import Request, Response
from blastwall.errors import OurFault, TokenFault
from blastwall.model import ApprovalState, ApprovalStatus, Denial, DenialCode, Secret
from tests.blastwall.approvals.asking import REQUEST, ask, person

ORIGIN = "https://page.example"
FORM = "application/x-www-form-urlencoded"
PEOPLE = {"olgas-token": person("olga", expires_at=5000.0), "inas-token": person("ina", groups=frozenset({"interns"}))}


class World:
    """A desk with one request in its book; ``ballots`` are those that were counted."""

    def __init__(self, **about) -> None:
        self.filed = {"a-1": Filed(REQUEST, ApprovalStatus("a-1", ApprovalState.REQUESTED))}
        self.ballots: list[tuple[str, str, object]] = []
        self.answer: dict[str, object] = {"status": {"state": "approved"}}
        self.codes = {"c0de": "olgas-token"}
        self.desk = Desk(
            ORIGIN, self, self.verify, self.authorise, self.decide, lambda: 150.0, lambda count: bytes(count),
            code=lambda code: Secret(self.codes.pop(code)) if code in self.codes else None, **about,
        )  # fmt: skip

    async def show(self, id):
        return self.filed.get(id)

    async def ls(self, *, live=False, limit=200):
        return list(self.filed.values())

    async def verify(self, token):
        if token.reveal() not in PEOPLE:
            raise TokenFault("the token is not one")
        return PEOPLE[token.reveal()]

    def authorise(self, who, request, ballot):
        if "owners" not in who.groups:
            return Denial(DenialCode.POLICY, "no rule permits approve")
        return Denial(DenialCode.POLICY, "no grants") if ballot.grant_seconds else None

    async def decide(self, id, token, ballot):
        self.ballots.append((id, token.reveal(), ballot))
        return self.answer

    async def get(self, path, token="olgas-token", **headers) -> Response:
        bare, _, query = path.partition("?")
        fields = {name: value for name, (value,) in parse_qs(query, keep_blank_values=True).items()}
        return await self.desk.handle(Request("GET", bare, fields, headers, cookies(token)))

    async def post(self, path, form, token="olgas-token", origin=ORIGIN, kind=FORM) -> Response:
        headers = {"content-type": kind} | ({"origin": origin} if origin else {})
        body = urlencode(form).encode()
        return await self.desk.handle(Request("POST", path, {}, headers, cookies(token), body))

    async def form(self, token="olgas-token") -> dict[str, str]:
        """The fields of the page's own form, filled in to approve."""
        html = (await self.get("/requests/a-1", token)).body.decode()
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', html.split("answer")[-1]))
        return hidden | {"decision": "approve", "note": " fine "}


def cookies(token):
    return {"__Host-blastwall": token} if token else {}


def text(response: Response) -> str:
    return response.body.decode()


@pytest.fixture
def world() -> World:
    return World()


async def test_whoever_is_signed_in_and_asked_sees_the_list_and_the_request(world) -> None:
    listed, shown = await world.get("/"), await world.get("/requests/a-1")
    assert (listed.status, shown.status) == (200, 200)
    assert "/requests/a-1" in text(listed)
    assert "DELETE FROM orders WHERE id = $1" in text(shown) and "olga" in text(shown)


async def test_a_posted_form_of_the_page_decides(world) -> None:
    done = await world.post("/requests/a-1", await world.form())
    assert (done.status, done.headers["Location"]) == (303, "/requests/a-1")
    ((id, token, ballot),) = world.ballots
    assert (id, token, ballot.approve, ballot.note) == ("a-1", "olgas-token", True, "fine")
    assert ballot.shown == view_of(REQUEST).shown


async def test_a_grant_is_for_approvals(world) -> None:
    form = await world.form() | {"grant": "600"}
    await world.post("/requests/a-1", form)
    await world.post("/requests/a-1", form | {"decision": "deny"})
    assert [(ballot.approve, ballot.grant_seconds) for _, _, ballot in world.ballots] == [(True, 600.0), (False, 0.0)]


async def test_a_number_of_rows_is_for_approvals_and_digits(world) -> None:
    form = await world.form()
    for rows, decision in (("12", "approve"), ("", "approve"), ("12", "deny")):
        await world.post("/requests/a-1", form | {"rows": rows, "decision": decision})
    assert [ballot.rows for _, _, ballot in world.ballots] == [12, None, None]
    for rows in ("-1", "1e3", "٣", "1" * 11):
        assert (await world.post("/requests/a-1", form | {"rows": rows})).status == 400
    assert len(world.ballots) == 3


async def test_who_could_approve_with_a_number_is_shown_the_form(world) -> None:
    world.desk = replace(world.desk, authorise=lambda person, request, ballot: None if ballot.rows is not None else NO)
    assert 'name="rows"' in text(await world.get("/requests/a-1", "olgas-token"))


NO = Denial(DenialCode.POLICY, "say how many rows")


@pytest.mark.parametrize(
    "path", ["/approve?id=a-1", "/requests/a-1?decision=approve", "/requests/a-1/approve", "/slack"]
)
@pytest.mark.parametrize("agent", ["Slackbot-LinkExpanding 1.0", "Mozilla/5.0"])
async def test_apr_010_and_ok_127_a_get_decides_nothing_whoever_sends_it(world, path, agent) -> None:
    for token in ("", "olgas-token"):
        answer = await world.get(path, token, **{"user-agent": agent})
        assert answer.status in (200, 401, 404)
    assert world.ballots == []


async def test_apr_010_a_scanner_is_shown_nothing(world) -> None:
    for path in ("/", "/requests/a-1", "/requests/a-1?here=", "/requests/a-none?here="):
        answer = await world.get(path, "")
        assert "orders" not in text(answer) and "reporter" not in text(answer)
    assert (await world.get("/requests/a-1?here=", "")).status == 401


@pytest.mark.parametrize(
    "about",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "https://page.example.evil.example"},
        {"origin": "http://page.example"},
    ],
)
async def test_apr_011_a_form_of_another_site_decides_nothing(world, about) -> None:
    assert (await world.post("/requests/a-1", await world.form(), **about)).status == 403
    assert world.ballots == []


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"csrf": ""}, 403),
        ({"csrf": "0" * 64}, 403),
        ({"csrf": "é"}, 403),
        ({"decision": "maybe"}, 400),
        ({"grant": "long"}, 400),
    ],
)
async def test_apr_011_nor_does_one_that_is_not_this_pages(world, change, status) -> None:
    assert (await world.post("/requests/a-1", await world.form() | change)).status == status
    assert world.ballots == []


async def test_a_form_is_for_one_request_and_one_sign_in(world) -> None:
    form = await world.form()
    world.filed["a-2"] = Filed(ask(id="a-2"), ApprovalStatus("a-2", ApprovalState.REQUESTED))
    assert (await world.post("/requests/a-2", form)).status == 403
    PEOPLE["olgas-other-token"] = person("olga")
    assert (await world.post("/requests/a-1", form, "olgas-other-token")).status == 403
    assert (await world.post("/requests/a-1", form, "")).status == 403
    assert (await world.post("/requests/a-1", form, kind="application/json")).status == 400
    assert world.ballots == []


async def test_apr_014_what_is_not_yours_looks_as_if_it_were_not_there(world) -> None:
    for path in ("/requests/a-1", "/requests/a-none", "/requests/42", "/requests/b%23x"):
        answer = await world.get(path, "inas-token")
        assert answer.status == 404 and text(answer) == text(await world.get("/requests/a-zzz", "inas-token")), path
    assert "Nobody waits" in text(await world.get("/", "inas-token"))


async def test_those_it_escalates_to_may_read_it_but_not_yet_decide(world) -> None:
    PEOPLE["sues-token"] = person("sue", groups=frozenset({"security"}))
    request = ask(escalation=("security",), escalate_at=900.0)
    world.filed["a-1"] = Filed(request, world.filed["a-1"].status)
    answer = await world.get("/requests/a-1", "sues-token")
    assert answer.status == 200 and "You cannot decide this" in text(answer)
    assert 'name="decision"' not in text(answer)


@pytest.mark.parametrize(
    "answer",
    [
        {"refused": {"code": "policy", "reason": "one person is <one> vote", "hint": "ask another"}},
        {"fault": {"kind": "ours", "message": "one person is <one> vote; ask another"}},
    ],
)
async def test_what_was_not_counted_is_said(world, answer) -> None:
    world.answer = answer
    done = await world.post("/requests/a-1", await world.form())
    assert done.status == 409
    assert "Not counted: one person is &lt;one&gt; vote; ask another." in text(done)


# --- signing in -------------------------------------------------------------------------------------------------------


async def test_a_one_time_link_signs_in_once_and_only_by_a_post(world) -> None:
    page = await world.get("/sign-in?code=c0de", "")
    assert page.status == 200 and page.cookies == () and "c0de" in world.codes
    done = await world.post("/sign-in", {"code": "c0de", "next": "/requests/a-1"}, "")
    assert 'url=/requests/a-1"' in text(done)
    (session, _) = done.cookies
    assert session == ("__Host-blastwall=olgas-token; Path=/; Max-Age=4850; HttpOnly; SameSite=Strict; Secure")
    again = await world.post("/sign-in", {"code": "c0de"}, "")
    assert again.status == 401 and again.cookies == () and "was used" in text(again)


async def test_a_token_is_verified_before_it_is_kept(world) -> None:
    good = await world.post("/sign-in", {"token": " olgas-\ntoken ", "next": "//evil"}, "")
    assert good.status == 200 and 'url=/"' in text(good)
    bad = await world.post("/sign-in", {"token": "an agent's"}, "")
    assert (bad.status, bad.cookies) == (401, ())
    PEOPLE["x" * 4000] = person("olga")
    large = await world.post("/sign-in", {"token": "x" * 4000}, "")
    assert (large.status, large.cookies) == (401, ())


async def test_signing_in_by_another_sites_form_is_refused(world) -> None:
    assert (await world.post("/sign-in", {"token": "olgas-token"}, "", origin="https://evil")).status == 403


async def test_signing_out_needs_the_form_too(world) -> None:
    html = text(await world.get("/"))
    csrf = re.search(r'action="/sign-out".*?name="csrf" value="([^"]+)"', html)[1]
    assert (await world.post("/sign-out", {"csrf": "x"})).status == 403
    out = await world.post("/sign-out", {"csrf": csrf})
    assert out.status == 303 and "Max-Age=0" in out.cookies[0]


async def test_who_comes_from_another_site_is_sent_once_more_to_bring_the_cookie(world) -> None:
    first = await world.get("/requests/a-1", "")
    assert first.status == 200 and 'content="0; url=/requests/a-1?here"' in text(first)
    assert (await world.get("/requests/a-1?here=")).status == 200


class Idp:
    """A provider's two endpoints."""

    def __init__(self) -> None:
        self.posted: list[bytes] = []
        self.nonce = ""

    async def fetch(self, address, limit):
        assert address == "https://idp/.well-known/openid-configuration"
        return json.dumps({"issuer": "https://idp", "authorization_endpoint": "https://idp/a",
                           "token_endpoint": "https://idp/t"}).encode()  # fmt: skip

    async def post(self, address, headers, body):
        self.posted.append(body)
        payload = base64.urlsafe_b64encode(json.dumps({"nonce": self.nonce}).encode()).decode().rstrip("=")
        token = f"e30.{payload}.sig"
        PEOPLE[token] = person("olga", expires_at=500.0)
        return json.dumps({"id_token": token}).encode()


async def test_oidc_signs_in_the_browser_that_began_it() -> None:
    idp = Idp()
    world = World(provider=Provider(Client("https://idp", "page"), idp.fetch, idp.post))
    begun = await world.get("/sign-in/oidc?next=/requests/a-1", "")
    (cookie,) = begun.cookies
    assert "SameSite=Lax" in cookie and "HttpOnly" in cookie and begun.status == 302
    query = {name: value for name, (value,) in parse_qs(urlsplit(begun.headers["Location"]).query).items()}
    idp.nonce = query["nonce"]
    back = Request(
        "GET", "/sign-in/callback", {"code": "c", "state": query["state"]}, {},
        {"__Host-blastwall-login": cookie.split("=", 1)[1].split(";")[0]},
    )  # fmt: skip
    done = await world.desk.handle(back)
    assert done.status == 200 and "SameSite=Strict" in done.cookies[0] and "Max-Age=0" in done.cookies[1]
    for other in (replace(back, cookies={}), replace(back, query={"code": "c", "state": "x"})):
        refused = await world.desk.handle(other)
        assert (refused.status, refused.cookies) == (401, ())
    assert len(idp.posted) == 1


# --- the rest -------------------------------------------------------------------------------------------------------


async def test_what_there_is_not(world) -> None:
    assert (await world.get("/favicon.ico")).status == 404
    assert (await world.get("/sign-in/oidc")).status == 404
    assert (await world.desk.handle(Request("DELETE", "/requests/a-1"))).status == 405
    assert (await world.desk.handle(Request("POST", "/", {}, {"origin": ORIGIN}, cookies("olgas-token")))).status == 405
    assert (await world.desk.handle(Request("POST", "/", body=b"x" * 70_000))).status == 413
    assert (await world.get("/style.css", "")).kind.startswith("text/css")


async def test_a_fault_is_a_page_and_decides_nothing(world) -> None:
    async def broken(id):
        raise OurFault("the disk is full")

    world.show = broken
    answer = await world.get("/requests/a-1")
    assert answer.status == 503 and "Nothing was decided" in text(answer)
    assert "disk" not in text(answer)


def test_without_https_the_cookie_has_a_plain_name() -> None:
    desk = replace(World().desk, origin="http://127.0.0.1:7481")
    assert desk._cookie(desk._session, "x", 1, "Strict") == "blastwall=x; Path=/; Max-Age=1; HttpOnly; SameSite=Strict"
