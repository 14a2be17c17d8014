"""Every event is stored exactly once, whatever network, browser and daemon do."""

from __future__ import annotations

import signal
from collections import Counter

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.stage import WAITING, Stage

#: Sends so many events, named by number.
SEND = "number => { for (let n = 0; n < number; n++) trackflow('e' + n, {props: {n}}) }"


def once(stage: Stage, names: list[str]) -> None:
    """Exactly these rows, each once (and what the script sends by itself)."""
    found = Counter(name for name in stage.names() if name not in ("pageview", "leave"))
    assert found == Counter(names)


def test_offline_and_back(stage: Stage, context: BrowserContext) -> None:
    page = stage.visit()
    stage.settled()
    context.set_offline(True)
    page.evaluate(SEND, 500)
    page.wait_for_function(f"{WAITING} === 500")
    assert page.evaluate("trackflow.flush()") is None
    context.set_offline(False)
    stage.settled()
    once(stage, [f"e{n}" for n in range(500)])


def test_a_daemon_killed_in_the_middle_of_a_visit_and_back(stage: Stage) -> None:
    page = stage.visit()
    stage.settled()
    stage.daemon.stop(signal.SIGKILL)
    page.evaluate(SEND, 5)
    page.evaluate("trackflow.flush()")
    assert page.evaluate(WAITING) == 5
    stage.daemon.start()
    stage.settled()
    once(stage, [f"e{n}" for n in range(5)])


def test_a_tab_closed_at_once_after_a_click(stage: Stage, context: BrowserContext) -> None:
    stage.body = '<button data-trackflow-event="bought">Buy</button>'
    page = stage.visit()
    page.click("button")
    page.close()
    assert "bought" in stage.names(least=2)
    # What the beacon carried is unconfirmed: it goes again with the next page, and counts once.
    stage.page = context.new_page()
    stage.visit()
    stage.settled()
    names = stage.names()
    assert (names.count("bought"), names.count("pageview")) == (1, 2)


def test_two_tabs_share_one_queue(stage: Stage, context: BrowserContext) -> None:
    first = stage.visit()
    second = context.new_page()
    second.goto(stage.url)
    stage.settled()
    context.set_offline(True)
    first.evaluate(SEND, 100)
    second.evaluate("() => { for (let n = 100; n < 200; n++) trackflow('e' + n) }")
    for tab in (first, second):
        tab.wait_for_function(f"{WAITING} === 200")
    context.set_offline(False)
    stage.settled()
    once(stage, [f"e{n}" for n in range(200)])
    assert stage.names().count("pageview") == 2


def test_back_to_a_page_from_the_back_forward_cache(stage: Stage) -> None:
    page = stage.visit("a")
    page.evaluate("window.kept = true")
    stage.settled()
    stage.visit("b")
    stage.settled()
    page.evaluate("history.back()")
    page.wait_for_url("**/a", wait_until="commit")
    assert page.evaluate("window.kept"), "Chromium did not keep the page"
    stage.settled()
    assert [row["path"] for row in stage.rows(order="time") if row["name"] == "pageview"] == ["/a", "/b", "/a"]


def test_fifty_fast_steps_of_a_single_page_site(stage: Stage) -> None:
    page = stage.visit()
    page.evaluate("() => { for (let n = 1; n <= 50; n++) history.pushState({}, '', '/step/' + n) }")
    page.wait_for_function("trackflow.page.url.endsWith('/50')")
    rows = stage.stored("pageview")
    assert sorted(row["path"] for row in rows) == sorted(["/", *(f"/step/{n}" for n in range(1, 51))])
    before = {row["path"]: row["referrer"] for row in rows}
    assert before["/step/50"] == f"{stage.url}step/49"


def test_no_storage(stage: Stage) -> None:
    stage.head = """<script>Object.defineProperty(window, "localStorage",
        {get() { throw new DOMException("denied", "SecurityError") }})</script>"""
    page = stage.visit()
    page.evaluate(SEND, 3)
    page.evaluate("trackflow.flush()")
    once(stage, ["e0", "e1", "e2"])
    page.evaluate("trackflow('last')")
    page.goto("about:blank")
    assert Counter(stage.names(least=6)) == Counter(["pageview", "e0", "e1", "e2", "last", "leave"])


def test_a_policy_that_forbids_connections_leaves_pictures(stage: Stage) -> None:
    stage.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src {stage.daemon.http}; img-src {stage.daemon.http} data:"
    )
    page = stage.visit()
    page.evaluate("() => trackflow('order', {props: {plan: 'pro'}, revenue: {amount: 5, currency: 'EUR'}})")
    (row,) = stage.stored("order")
    assert row["dialect"] == "pixel"
    assert row["props"] == {"plan": "pro"}
    assert (float(row["revenue"]), row["currency"]) == (5.0, "EUR")
    assert Counter(stage.names()) == Counter(["pageview", "order"])


@pytest.mark.parametrize("respect", ["", "gpc"])
def test_global_privacy_control_counts_where_the_site_says_so(stage: Stage, respect: str) -> None:
    stage.options |= {"debug": "", "respect": respect}
    stage.head = (
        """<script>Object.defineProperty(Navigator.prototype, "globalPrivacyControl", {get: () => true})</script>"""
    )
    said: list[str] = []
    stage.page.on("console", lambda message: said.append(message.text))
    stage.visit()
    stage.settled()
    assert stage.names() == ([] if respect else ["pageview"])
    assert any("not counted: gpc" in text for text in said) is bool(respect)
