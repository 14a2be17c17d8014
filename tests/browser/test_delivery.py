"""Every event is stored exactly once, whatever network, browser and daemon do."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Route

from tests.browser.stage import PERSON, WAITING, Stage
from tests.process.harness import until

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


#: Leaves events in the queue as an earlier visit would have: named by number, of so many ms ago.
LEAVE = """([number, age, prefix]) => { for (let n = 0; n < number; n++) {
    const at = Date.now() - age - n, id = crypto.randomUUID()
    localStorage[prefix + at + id] = JSON.stringify({site: "SITE", name: "e" + n, id, at, attempt: 1, tz: "UTC"}) } }"""


def test_what_waited_is_dated_by_when_it_happened_and_given_up_after_a_week(stage: Stage) -> None:
    stage.options["pageviews"] = "off"
    page = stage.visit()
    day, prefix = 24 * 3600 * 1000, f"trackflow {stage.daemon.http}/v1/events "
    leave = LEAVE.replace("SITE", stage.site)
    page.evaluate(leave, [1, 6 * day, prefix])
    page.evaluate(leave, [2, 8 * day, prefix])
    page.evaluate("prefix => { localStorage[prefix + '1'] = '{'; localStorage.other = 'mine' }", prefix)
    page.reload()
    stage.settled()
    (row,) = stage.rows(columns="name, dateDiff('second', time, received) AS late")
    assert row["name"] == "e0"
    assert 0 <= int(row["late"]) - 6 * 24 * 3600 < 300
    assert page.evaluate("Object.keys(localStorage)") == ["other"]


def test_the_queue_keeps_the_newest_thousand(stage: Stage) -> None:
    stage.options["pageviews"] = "off"
    page = stage.visit()
    page.evaluate(LEAVE.replace("SITE", stage.site), [1005, 0, f"trackflow {stage.daemon.http}/v1/events "])
    page.reload()
    stage.settled()
    once(stage, [f"e{n}" for n in range(1000)])


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
    # What the beacon carried is unconfirmed: it goes again with the next page's first request, and counts once. (A
    # click that was answered before the tab was gone, on a slow machine, does not.)
    stage.page = context.new_page()
    with stage.page.expect_request("**/v1/events") as first:
        stage.visit()
    sent = json.loads(first.value.post_data or "")
    # (Nor does it matter if the next page had to ask twice.)
    assert {event["name"]: event["attempt"] for event in sent}.get("bought", 1) >= 1
    stage.settled()
    names = stage.names()
    assert (names.count("bought"), names.count("pageview")) == (1, 2)


@pytest.mark.parametrize("locks", [True, False])
def test_two_tabs_share_one_queue(stage: Stage, context: BrowserContext, locks: bool) -> None:
    if not locks:  # as on plain http
        stage.head = "<script>delete Navigator.prototype.locks</script>"
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
    assert any("ignored: gpc" in text for text in said) is bool(respect)


def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(stage: Stage, context: BrowserContext) -> None:
    tried: list[float] = []

    def busy(route: Route) -> None:
        """The answer of a full ring to the first request, then the daemon's own."""
        tried.append(time.monotonic())
        if len(tried) > 1:
            route.continue_()
            return
        cors = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Retry-After, X-Trackflow-Refused"}
        said = {"Retry-After": "2", "X-Trackflow-Refused": "ring_full", **cors}
        route.fulfill(status=503, headers=said, json={"error": "ring_full", "reason": ""})

    context.route("**/v1/events", busy)
    page = stage.visit()
    page.wait_for_function(f"{WAITING} === 1")
    page.evaluate("() => { trackflow('e0'); dispatchEvent(new Event('online')); return trackflow.flush() }")
    stage.settled()
    once(stage, ["e0"])
    assert stage.names().count("pageview") == 1
    assert tried[1] - tried[0] >= 2


def test_an_event_the_server_refuses_by_name_is_dropped_and_others_are_not(stage: Stage) -> None:
    said: list[str] = []
    stage.page.on("console", lambda message: said.append(message.text))
    page = stage.visit()
    outcomes = page.evaluate(
        """() => Promise.all([{url: 5}, {}, {props: {deep: {}}}].map((data, n) =>
            new Promise(callback => trackflow("e" + n, {...data, callback}))))"""
    )
    assert outcomes == ["bad_type", "accepted", "bad_type"]
    once(stage, ["e1"])
    assert page.evaluate(WAITING) == 0
    assert "trackflow: e0 bad_type" in said


def test_an_answer_that_is_not_the_servers_confirms_nothing(stage: Stage, context: BrowserContext) -> None:
    answers = ["<html>Please log in", None]

    def portal(route: Route) -> None:
        body = answers.pop(0) if answers else None
        if body is None:
            route.continue_()
        else:
            route.fulfill(status=200, headers={"Access-Control-Allow-Origin": "*"}, body=body)

    context.route("**/v1/*", portal)
    stage.visit()
    stage.settled()
    assert stage.names() == ["pageview"]


def test_without_beacons_a_page_that_is_left_fetches(stage: Stage) -> None:
    stage.head = "<script>delete Navigator.prototype.sendBeacon</script>"
    page = stage.visit()
    page.evaluate("trackflow('last')")
    page.goto("about:blank")
    assert Counter(stage.names(least=3)) == Counter(["pageview", "last", "leave"])


LACKS = {
    "locks": "delete Navigator.prototype.locks",
    "navigation": "Object.defineProperty(window, 'navigation', {value: undefined})",
    "randomUUID": "delete Crypto.prototype.randomUUID",
    "timeout": "delete AbortSignal.timeout",
    "fetch": "delete window.fetch",
    "full storage": "Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError') };"
    "Object.defineProperty(window, 'localStorage', {value: new Proxy({}, {set() { throw new DOMException('') }})})",
}


@pytest.mark.parametrize("lack", LACKS)
def test_what_a_browser_lacks_costs_nothing(stage: Stage, lack: str) -> None:
    stage.head = f"<script>{LACKS[lack]}</script>"
    page = stage.visit("a")
    page.evaluate("trackflow('e0')")
    page.evaluate("history.pushState({}, '', '/b')")
    page.wait_for_function("trackflow.page.url.endsWith('/b')")
    rows = stage.rows(least=4)
    assert sorted((row["name"], row["path"]) for row in rows) == [
        ("e0", "/a"),
        ("leave", "/a"),
        ("pageview", "/a"),
        ("pageview", "/b"),
    ]
    views = [row["event_id"] for row in rows if row["name"] == "pageview"]
    assert next(row["props"]["view"] for row in rows if row["name"] == "leave") in views


def test_plain_http(stage: Stage, context: BrowserContext) -> None:
    stage.options["allow"] = "automation"
    stage.url = stage.url.replace("127.0.0.1", "shop.test")
    page = stage.visit("a")
    assert page.evaluate("[isSecureContext, typeof crypto.randomUUID, typeof navigator.locks]") == [
        False,
        "undefined",
        "undefined",
    ]
    view = page.evaluate("trackflow.page.id")
    context.set_offline(True)
    page.evaluate(SEND, 20)
    context.set_offline(False)
    stage.settled()
    once(stage, [f"e{n}" for n in range(20)])
    assert [row["event_id"] for row in stage.stored("pageview")] == [view]


def test_a_page_that_replaces_the_history_twice(stage: Stage) -> None:
    wrap = """<script>(() => { const original = history.pushState
        history.pushState = function () { original.apply(this, arguments) } })()</script>"""
    stage.head = stage.body = wrap
    page = stage.visit("a")
    page.evaluate("() => { delete history.pushState; history.pushState({}, '', '/b') }")
    page.wait_for_function("trackflow.page.url.endsWith('/b')")
    assert [row["path"] for row in stage.stored("pageview")] == ["/a", "/b"]


def test_a_tag_that_is_there_twice_counts_once(stage: Stage) -> None:
    stage.head = stage.body = stage.tag()
    page = stage.visit()
    page.evaluate("history.pushState({}, '', '/b')")
    page.wait_for_function("trackflow.page.url.endsWith('/b')")
    assert len(stage.stored("pageview")) == 2


def test_a_script_that_comes_late_from_a_tag_manager(stage: Stage) -> None:
    data = json.dumps(stage.options)
    source = json.dumps(f"{stage.daemon.http}/t.js")
    stage.script = "none.js"
    page = stage.visit()
    page.evaluate(
        f"""() => {{ const script = document.createElement("script"); script.src = {source};
            Object.assign(script.dataset, {data}); document.head.append(script) }}"""
    )
    page.wait_for_function("window.trackflow")
    assert len(stage.stored("pageview")) == 1


@pytest.mark.parametrize("allow", [True, False])
def test_a_page_in_a_frame_counts_where_the_site_says_so(stage: Stage, allow: bool) -> None:
    stage.options |= {"debug": "", "allow": f"localhost automation{' frame' if allow else ''}"}
    said: list[str] = []
    stage.page.on("console", lambda message: said.append(message.text))
    stage.page.goto(f"{stage.daemon.http}/t.js")  # any page of another origin
    stage.page.set_content(f'<iframe src="{stage.url}framed"></iframe>')
    until(lambda: stage.page.evaluate("frames.length") and any("pageview" in text for text in said))
    assert [row["path"] for row in stage.rows(least=int(allow))] == (["/framed"] if allow else [])
    assert any("pageview ignored: frame" in text for text in said) is not allow


@pytest.mark.parametrize("allow", ["localhost", "automation"])
def test_localhost_and_automation_are_not_counted_without_leave(stage: Stage, allow: str) -> None:
    stage.options |= {"debug": "", "allow": allow}
    said: list[str] = []
    stage.page.on("console", lambda message: said.append(message.text))
    page = stage.visit()
    assert page.evaluate("trackflow('e')") is None
    other = {"localhost": "automation", "automation": "localhost"}[allow]
    assert f"trackflow: pageview ignored: {other}" in said
    assert stage.names() == []


def test_who_opted_out_is_not_counted_until_they_opt_in(stage: Stage, context: BrowserContext) -> None:
    page = stage.visit()
    stage.settled()
    context.set_offline(True)
    page.evaluate("() => { trackflow('dropped'); trackflow.optOut(); trackflow('never') }")
    context.set_offline(False)
    assert page.evaluate("Object.keys(localStorage)") == ["trackflow.off"]
    stage.visit()
    page.evaluate("() => { trackflow.optIn(); trackflow('again') }")
    stage.settled()
    assert stage.names() == ["pageview", "again"]


AHEAD = """<script>
    if (location.pathname === "/ahead") {
        addEventListener("load", () => {
            trackflow("loaded", {props: {ahead: document.prerendering}})
            fetch("/loaded")
        })
    } else {
        document.write('<script type="speculationrules">{"prerender": [{"urls": ["/ahead"]}]}</' + 'script>')
        const wait = setInterval(async () => {
            if (!(await fetch("/go")).ok) return
            clearInterval(wait)
            location.href = "/ahead"
        }, 100)
    }</script>"""


def test_a_page_loaded_ahead_counts_when_it_is_shown(stage: Stage, chromium: list[str], tmp_path: Path) -> None:
    # Chromium loads nothing ahead while playwright looks: this one is on its own.
    stage.head = AHEAD
    stage.missing.add("/go")
    command = [*chromium, "--headless", f"--user-agent={PERSON}", f"--user-data-dir={tmp_path}", stage.url]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as alone:
        try:
            until(lambda: "/loaded" in stage.asked)
            assert stage.names(least=1) == ["pageview"]
            stage.missing.clear()
            rows = stage.rows(least=4)
        finally:
            alone.kill()
    assert sorted((row["name"], row["path"], row["props"].get("ahead", "")) for row in rows) == [
        ("leave", "/", ""),
        ("loaded", "/ahead", "true"),
        ("pageview", "/", ""),
        ("pageview", "/ahead", ""),
    ]
