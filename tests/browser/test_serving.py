"""The script under other names and versions, and what ``verify`` says of policies, held to what Chromium does."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page

from tests.process.harness import Daemon, until
from tests.sites import Answer, Site
from trackflowd.verify.checks import FAIL, Asked, verify
from trackflowd.verify.fetch import Fetcher

ALLOW = 'data-allow="localhost automation frame"'


@pytest.fixture(scope="module")
def renamed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with none of its usual names."""
    sets = ("http.script_path=/js/app.js,/stats", "http.event_path=/in,/in2", "http.pixel_path=/p")
    with Daemon(tmp_path_factory.mktemp("renamed"), *sets) as daemon:
        yield daemon


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


def names(daemon: Daemon, site: str) -> list[str]:
    daemon.flush()
    return [row["name"] for row in daemon.rows(f"SELECT DISTINCT name FROM events WHERE site = '{site}' ORDER BY name")]


@pytest.mark.parametrize("path", ["/js/app.js", "/stats", "/js/app.VERSION.js", "/js/app.0123456789ab.js"])
def test_a_renamed_script_finds_its_events_and_its_extras(renamed: Daemon, site: Site, page: Page, path: str) -> None:
    with urlopen(f"{renamed.http}/js/app.js") as answer:
        version = answer.headers["X-Trackflow-Script"].partition(";")[0]
    src, name = renamed.http + path.replace("VERSION", version), f"s{path.replace('/', '.')}"
    site.answers["GET /"] = Answer(f'<script src="{src}" data-site="{name}" data-extras="errors" {ALLOW}></script>')
    with page.expect_response(lambda response: ".extras" in response.url and response.status == 200):
        page.goto(site.url + "/")
    until(lambda: names(renamed, name) == ["pageview"])


POLICIES = [
    "",
    "default-src 'self'",
    "script-src 'self' DAEMON",
    "script-src DAEMON/js/",
    "script-src DAEMON/js",
    "script-src DAEMON/js/app.js",
    "script-src http:",
    "script-src https:",
    "script-src 127.0.0.1:*",
    "script-src 127.0.0.1",
    "script-src 'nonce-n1'",
    "script-src 'nonce-n2'",
    "script-src 'strict-dynamic' DAEMON",
    "script-src 'strict-dynamic' 'nonce-n1'",
    "script-src 'none'; script-src-elem DAEMON",
    "script-src DAEMON, default-src 'none'",
    "sandbox; script-src *",
    "sandbox allow-scripts",
]


@pytest.mark.parametrize("policy", POLICIES)
def test_verify_says_of_a_policy_what_the_browser_does(renamed: Daemon, site: Site, page: Page, policy: str) -> None:
    headers = {"Content-Security-Policy": policy.replace("DAEMON", renamed.http)} if policy else {}
    tag = f'<script src="{renamed.http}/js/app.js" data-site="csp" nonce="n1" {ALLOW}></script>'
    site.answers["GET /"] = Answer(tag, headers=headers)
    page.goto(site.url + "/")
    ran = page.evaluate("typeof window.trackflow") == "function"  # that it was fetched says little: pages look ahead
    report = verify(Asked(site.url + "/"), Fetcher(20))
    kept_out = any(check.state == FAIL and "the script (" in check.text for check in report.checks)
    assert kept_out is not ran
