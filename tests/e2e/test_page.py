"""The approval page in a real browser, with a statement that waits for it. Without a browser see tests/e2e/conftest.py."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from blastwall.model import ApprovalState
from rig import running
from rig.desk import login_link
from tests.e2e.browser import Browser, Page, browser
from tests.e2e.people import awaited, decide, requests
from tests.e2e.stacks import Stack


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as made:
        yield made


def origin(shop: Stack) -> str:
    found = running.read(shop.state)
    assert found is not None and found.page
    return found.page


@pytest.fixture
def page(shop: Stack, chromium: Browser) -> Page:
    """Signed in as olga."""
    page = chromium.page()
    page.open(login_link(origin(shop), shop.state, "olga", ("owners",)))
    page.wait("This link opens the page once")
    page.click("button.approve")
    page.wait("olga")
    return page


class Held:
    """A statement that an agent waits for."""

    def __init__(self, shop: Stack, agent: str, statement: str) -> None:
        self.outcome = ""
        self._shop, self._agent, self._statement = shop, agent, statement
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.id = awaited(shop, agent).request.id

    def _run(self) -> None:
        with self._shop.connect(self._shop.token(self._agent), autocommit=True) as connection:
            try:
                self.outcome = connection.execute(self._statement.encode()).statusmessage or ""
            except psycopg.Error as refused:
                self.outcome = f"{refused.sqlstate} {refused.diag.message_detail}"

    def end(self) -> str:
        self._thread.join(20)
        return self.outcome


def cart(shop: Stack, id: int) -> None:
    shop.direct("INSERT INTO carts VALUES (%s, 1, 'active', now()) ON CONFLICT DO NOTHING", id)


def test_a_person_reads_and_approves_in_a_browser(shop: Stack, page: Page) -> None:
    cart(shop, 91_001)
    held = Held(shop, "browsed", "/* reason: cart of a test */ DELETE FROM carts WHERE id = 91001")
    page.open(origin(shop))
    page.wait("delete on public.carts at shop")
    page.click(f'a[href="/requests/{held.id}"]')
    text = page.wait("What the gateway found")
    for part in ("browsed", "write table public.carts", "DELETE FROM carts WHERE id = 91001", "It holds comments",
                 "What the agent says it is for (nobody has checked this)", "cart of a test"):  # fmt: skip
        assert part in text, part
    page.fill('input[name="note"]', "fine by me")
    page.click("button[value=approve]")
    page.wait("by olga")
    assert held.end() == "DELETE 1"
    (filed,) = requests(shop, "browsed")
    assert (filed.status.by, filed.status.note) == (("olga",), "fine by me")
    assert page.complaints() == []


def test_a_person_denies_in_a_browser(shop: Stack, page: Page) -> None:
    held = Held(shop, "browsed-no", "DELETE FROM carts WHERE id = 91002")
    page.open(f"{origin(shop)}/requests/{held.id}")
    page.wait("What the gateway found")
    page.fill('input[name="note"]', "not today")
    page.click("button[value=deny]")
    page.wait("denied")
    assert held.end().endswith("olga refused it: not today")


def test_apr_010_whoever_follows_the_link_without_signing_in_decides_nothing(shop: Stack, chromium: Browser) -> None:
    held = Held(shop, "prefetched", "DELETE FROM carts WHERE id = 91003")
    context = chromium.call("Target.createBrowserContext")["browserContextId"]
    target = chromium.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
    session = chromium.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    scanner = Page(chromium, session)
    scanner.call("Page.enable")
    for path in ("", "?decision=approve", "/approve"):
        scanner.open(f"{origin(shop)}/requests/{held.id}{path}")
        text = scanner.wait("Sign in" if path != "/approve" else "")
        assert "carts" not in text, "a stranger is shown nothing"
    assert requests(shop, "prefetched")[0].status.state is ApprovalState.REQUESTED
    decide(shop, held.id, "deny")
    held.end()


def test_apr_011_a_form_of_another_site_decides_nothing(shop: Stack, page: Page) -> None:
    held = Held(shop, "forged", "DELETE FROM carts WHERE id = 91004")
    address = f"{origin(shop)}/requests/{held.id}"
    page.open("data:text/html,<p>elsewhere</p>")
    page.wait("elsewhere")
    page.run(
        f"document.body.innerHTML = '<form method=post action={address}><input name=decision value=approve></form>';"
        "document.forms[0].submit()"
    )
    page.wait("Not from here")
    assert requests(shop, "forged")[0].status.state is ApprovalState.REQUESTED
    decide(shop, held.id, "deny")
    held.end()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1100])
def test_it_fits_a_phone_and_a_screen_in_light_and_dark(
    shop: Stack, page: Page, tmp_path: Path, width: int, scheme: str
) -> None:
    agent = f"looked-{width}-{scheme}"
    long = " OR ".join(f"id = {number}" for number in range(92_000, 92_030))
    held = Held(shop, agent, f"/* \u202e safe */ DELETE FROM carts WHERE {long}".replace(" OR ", "\n   OR "))
    page.look(width, 900, scheme)
    page.open(f"{origin(shop)}/requests/{held.id}")
    page.wait("What the gateway found")
    assert page.run("document.documentElement.scrollWidth") <= width, "nothing runs out of the window"
    ground = page.run("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(part) for part in ground[4:-1].split(",")) < 200) is (scheme == "dark")
    assert page.run("[...document.querySelectorAll('mark')].map(m => m.innerText).join()").startswith("⟨U+202E⟩")
    assert page.run("Math.min(...[...document.querySelectorAll('form.answer button')].map(b => b.offsetHeight))") >= 40
    picture = page.picture()
    assert picture.startswith(b"\x89PNG") and struct.unpack(">I", picture[16:20])[0] == width
    (tmp_path / f"{agent}.png").write_bytes(picture)
    page.look(1100, 900, "light")
    decide(shop, held.id, "deny")
    held.end()
