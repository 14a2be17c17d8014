"""One Chromium and one daemon for all tests of a file.

Not for longer: while playwright runs, an event loop does, and other tests could have none of their own.

Chromium is the system's (Debian: ``apt-get install chromium``); playwright brings none and only drives it.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.stage import PERSON, Stage
from tests.process.harness import Daemon


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that has the same port again when a test has stopped and started it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    sets = ("http.demo=true", f"http.listen=127.0.0.1:{port}")
    with Daemon(tmp_path_factory.mktemp("browser"), *sets) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> list[str]:
    """The command that starts the system's Chromium."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    # No sandbox: CI runs as root in a container. No /dev/shm: containers have little of it.
    flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    # A name that is not localhost makes plain http what it is elsewhere: not secure, so with less in it.
    return [found, *flags, "--host-resolver-rules=MAP shop.test 127.0.0.1"]


@pytest.fixture(scope="module")
def browser(chromium: list[str]) -> Iterator[Browser]:
    """Chromium with the back-forward cache that playwright turns off."""
    program, *flags = chromium
    with sync_playwright() as driver:
        running = driver.chromium.launch(
            executable_path=program, args=flags, ignore_default_args=["--disable-back-forward-cache"]
        )
        yield running
        running.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A person's browser with nothing stored; a script error on any of its pages fails the test."""
    opened = browser.new_context(user_agent=PERSON, locale="de-CH", timezone_id="Europe/Zurich")
    opened.set_default_timeout(30_000)
    errors: list[str] = []
    opened.on("weberror", lambda error: errors.append(str(error.error)))
    yield opened
    opened.close()
    assert errors == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A tab."""
    return context.new_page()


@pytest.fixture
def stage(request: pytest.FixtureRequest, daemon: Daemon, page: Page) -> Iterator[Stage]:
    """A site of the test's own, not yet visited."""
    with Stage(daemon, page, request.node.name) as made:
        yield made
