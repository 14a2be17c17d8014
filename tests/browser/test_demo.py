"""The main job, end to end: Chromium → the script → the daemon → a row that ``trackflow query`` shows.

Chromium is the system's (Debian: ``apt-get install chromium``); playwright brings none and only drives it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.process.harness import Daemon, until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("chromium is not installed (Debian: apt-get install chromium)", allow_module_level=True)

#: What a person's Chromium calls itself; headless, it says HeadlessChrome and counts as a bot.
PERSON = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"

ISSUE_QUERY = "SELECT name, path, country, browser FROM events"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("demo"), "http.demo=true") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # No sandbox: CI runs as root in a container. No /dev/shm: containers have little of it.
    flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a person; a script error on it fails the test."""
    context = browser.new_context(user_agent=PERSON)
    errors: list[str] = []
    opened = context.new_page()
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    context.close()
    assert errors == []


def trackflow(daemon: Daemon, *words: str) -> str:
    """Standard output of the operator's tool, run as its own process."""
    code = "import sys; from trackflowd.cli import operator; sys.exit(operator())"
    command = [sys.executable, "-c", code, "--data-dir", str(daemon.data_dir), *words]
    done = subprocess.run(command, env=daemon.env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def stored(daemon: Daemon, site: str, number: int) -> list[dict[str, object]]:
    """Rows of a site but for its event "end"; waits until that one and so many others are stored."""
    sql = f"SELECT * FROM events WHERE site = '{site}'"

    def complete() -> bool:
        names = [row["name"] for row in daemon.rows(sql)]
        return "end" in names and len(names) > number

    until(complete)
    daemon.flush()
    return [row for row in daemon.rows(sql) if row["name"] != "end"]


class Site:
    """A page with nothing but the script, on another origin than the daemon's, as a real site is.

    Args:
        page: where it is opened.
        daemon: serves the script.
        name: the site's name.
        head: goes before the script's tag.
    """

    def __init__(self, page: Page, daemon: Daemon, name: str, head: str = "") -> None:
        self._page = page
        self._daemon = daemon
        self._name = name
        self._sent: list[str] = []
        page.on("request", lambda request: self._sent.append(request.method) if "/v1/events" in request.url else None)
        tag = f'<script src="{daemon.http}/t.js" data-site="{name}"></script>'
        document = f"<!doctype html><html><head><title>T</title>{head}{tag}</head></html>"
        self.url = serve(document.encode())
        page.goto(self.url)

    def sent(self, number: int) -> list[str]:
        """Methods of the requests to the daemon so far; waits until there are so many."""

        def enough() -> bool:
            self._page.evaluate("0")  # playwright hands on what happened only while it is asked something
            return len(self._sent) >= number

        until(enough)
        return self._sent

    def rows(self, number: int) -> list[dict[str, object]]:
        """Sends an event "end" and returns the rows of all others, once so many are stored."""
        self._page.evaluate("trackflow('end')")
        return stored(self._daemon, self._name, number)


def serve(document: bytes) -> str:
    """Address of a page served from a free port of this process until it ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(document)))
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, format: str, *args: object) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/page"


def test_a_visit_and_a_click_become_rows(daemon: Daemon, page: Page) -> None:
    page.goto(f"{daemon.http}/")
    page.click("#signup")
    rows: list[dict[str, str]] = []

    def both_are_there() -> bool:
        answer = trackflow(daemon, "query", ISSUE_QUERY, "--json")
        rows[:] = [json.loads(line) for line in answer.splitlines()]
        return {"pageview", "signup"} <= {row["name"] for row in rows}

    until(both_are_there)
    assert {(row["name"], row["path"], row["browser"]) for row in rows} == {
        ("pageview", "/", "Chrome"),
        ("signup", "/", "Chrome"),
    }
    table = trackflow(daemon, "query", ISSUE_QUERY)
    assert "signup" in table and "browser" in table
    (row,) = daemon.rows("SELECT props, screen, timezone, title, bot FROM events WHERE name = 'signup'")
    assert row["props"] == {"plan": "pro"}
    assert row["bot"] == ""
    assert row["title"] == "TrackFlow demo"
    assert row["screen"] and row["timezone"]


def test_the_demo_shows_that_its_events_were_taken(daemon: Daemon, page: Page) -> None:
    page.goto(f"{daemon.http}/")
    page.click("#order")
    page.click("nav a:has-text('Pricing')")
    expect(page.locator("#log li")).to_have_count(3)
    expect(page.locator("#log .state.good")).to_have_count(3)
    assert page.locator("#log .name").all_inner_texts() == ["pageview", "order", "pageview"]
    assert page.locator("#headline").inner_text().startswith("Pricing")
    assert daemon.http in page.locator("#snippet").inner_text()


def test_headless_chromium_is_stored_and_flagged(daemon: Daemon, browser: Browser) -> None:
    context = browser.new_context()
    rows = Site(context.new_page(), daemon, "robot").rows(1)
    assert [row["bot"] != "" for row in rows] == [True]
    context.close()


def test_revenue_and_props_arrive_as_they_were_given(daemon: Daemon, page: Page) -> None:
    site = Site(page, daemon, "money")
    page.evaluate("trackflow('order', {plan: 'pro', n: 3, revenue: {amount: 29.95, currency: 'EUR'}})")
    order = next(row for row in site.rows(2) if row["name"] == "order")
    assert (float(str(order["revenue"])), order["currency"]) == (29.95, "EUR")
    assert order["props"] == {"plan": "pro", "n": "3"}


def test_a_step_in_the_history_counts_once(daemon: Daemon, page: Page) -> None:
    site = Site(page, daemon, "spa")
    page.evaluate("history.pushState({}, '', '?2'); history.replaceState({}, '', '?2')")
    site.sent(2)
    page.evaluate("history.replaceState({scroll: 1}, ''); location.hash = 'below'")
    page.evaluate("history.go(-2)")
    site.sent(3)
    rows = site.rows(3)
    assert sorted(str(row["query"]) for row in rows) == ["", "", "2"]
    step = next(row for row in rows if row["query"] == "2")
    assert step["referrer"] == site.url
    assert len(site.sent(4)) == 4


def test_the_script_loaded_twice_counts_once(daemon: Daemon, page: Page) -> None:
    again = f'<script src="{daemon.http}/t.js" data-site="twice"></script>'
    site = Site(page, daemon, "twice", head=again)
    assert [row["name"] for row in site.rows(1)] == ["pageview"]
    assert len(site.sent(2)) == 2


@pytest.mark.parametrize("way", ["beacon", "fetch"])
def test_another_origin_needs_no_preflight(daemon: Daemon, page: Page, way: str) -> None:
    head = "<script>delete Navigator.prototype.sendBeacon</script>" if way == "fetch" else ""
    site = Site(page, daemon, way, head=head)
    assert page.evaluate("navigator.sendBeacon === undefined") is (way == "fetch")
    (row,) = site.rows(1)
    assert row["name"] == "pageview"
    assert row["url"] == site.url
    assert site.sent(2) == ["POST", "POST"]


def test_an_event_sent_while_the_page_is_left_arrives(daemon: Daemon, page: Page) -> None:
    Site(page, daemon, "leaving")
    page.evaluate("addEventListener('pagehide', () => trackflow('end'))")
    page.goto("about:blank")
    assert [row["name"] for row in stored(daemon, "leaving", 1)] == ["pageview"]
