"""The main job, end to end: Chromium → the demo page → the daemon → a row that ``trackflow query`` shows."""

from __future__ import annotations

import json
import subprocess
import sys

from playwright.sync_api import Browser, Page, expect

from tests.browser.stage import Stage
from tests.process.harness import Daemon, until

ISSUE_QUERY = "SELECT name, path, country, browser FROM events WHERE site = 'demo'"


def trackflow(daemon: Daemon, *words: str) -> str:
    """Standard output of the operator's tool, run as its own process."""
    code = "import sys; from trackflowd.cli import operator; sys.exit(operator())"
    command = [sys.executable, "-c", code, "--data-dir", str(daemon.data_dir), *words]
    done = subprocess.run(command, env=daemon.env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


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
    (row,) = daemon.rows(
        "SELECT props, screen, timezone, title, bot FROM events WHERE name = 'signup' AND site = 'demo'"
    )
    assert row["props"] == {"plan": "pro"}
    assert row["bot"] == ""
    assert row["title"] == "TrackFlow demo"
    assert row["screen"] and row["timezone"]


def test_the_demo_shows_that_its_events_were_taken(daemon: Daemon, page: Page) -> None:
    page.goto(f"{daemon.http}/")
    page.click("#order")
    page.click("nav a:has-text('Pricing')")
    expect(page.locator("#log .state.good")).to_have_count(4)
    # Newest first: the step to Pricing tells how far the page before was read.
    assert sorted(page.locator("#log .name").all_inner_texts()) == ["leave", "order", "pageview", "pageview"]
    assert page.locator("#headline").inner_text().startswith("Pricing")
    assert daemon.http in page.locator("#snippet").inner_text()


def test_headless_chromium_is_stored_and_flagged(stage: Stage, browser: Browser) -> None:
    context = browser.new_context()
    stage.page = context.new_page()
    stage.visit()
    assert [row["bot"] != "" for row in stage.stored("pageview")] == [True]
    context.close()
