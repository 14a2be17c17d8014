"""A site for tests of the tracker: pages on an origin of their own, a tab, and what of it reached the store."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page

from tests.process.harness import Daemon, until

#: What a person's Chromium calls itself; headless, it says HeadlessChrome and counts as a bot.
PERSON = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"

#: Events that wait in the page's storage.
WAITING = "Object.keys(localStorage).filter(key => key.startsWith('trackflow ')).length"

Row = dict[str, Any]


class Stage:
    """A site, and a tab to visit it.

    Args:
        daemon: serves the script and takes the events.
        page: the tab.
        name: makes the site's name in the store.

    Attributes:
        site: that name.
        url: where the site's first page is.
        options: data- attributes of the tag, by name.
        head, body: HTML before the tag, and of the page.
        headers: of the site's answers.
        missing: paths answered 404.
        asked: paths a browser asked for.
    """

    def __init__(self, daemon: Daemon, page: Page, name: str) -> None:
        self.daemon = daemon
        self.page = page
        self.site = f"s-{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}"
        self.options = {"site": self.site, "allow": "localhost automation"}
        self.script = "t.js"
        self.head = self.body = ""
        self.headers: dict[str, str] = {}
        self.missing: set[str] = set()
        self.asked: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def __enter__(self) -> Stage:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stage = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                stage.asked.append(path)
                body = stage.document(path).encode()
                self.send_response(404 if path in stage.missing else 200)
                for name, value in {"Content-Type": "text/html; charset=utf-8", **stage.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Silence."""

        return Handler

    def tag(self, **more: str) -> str:
        """The script's tag, with more attributes."""
        data = "".join(f' data-{name}="{value}"' for name, value in self.options.items())
        attributes = "".join(f' {name}="{value}"' for name, value in more.items())
        return f'<script src="{self.daemon.http}/{self.script}"{attributes}{data}></script>'

    def document(self, path: str) -> str:
        """The page at a path."""
        return (
            f"<!doctype html><html><head><title>Page {path}</title>"
            f'<link rel="icon" href="data:,">{self.head}{self.tag()}</head><body>{self.body}</body></html>'
        )

    def visit(self, path: str = "") -> Page:
        """Open a page of the site in the tab."""
        self.page.goto(self.url + path)
        return self.page

    def settled(self, page: Page | None = None) -> None:
        """Wait until the server has confirmed everything the page's browser keeps."""
        until(lambda: (page or self.page).evaluate(f"() => {WAITING}") == 0)

    def rows(self, *, least: int = 0, columns: str = "*", order: str = "time, name") -> list[Row]:
        """The site's rows, once there are so many and everything accepted is stored."""
        sql = f"SELECT {columns} FROM events WHERE site = '{self.site}'"
        if least:
            until(lambda: len(self.daemon.rows(sql)) >= least)
        self.daemon.flush()
        return self.daemon.rows(f"{sql} ORDER BY {order}")

    def names(self, *, least: int = 0) -> list[str]:
        """Names of the site's rows in the order of their time."""
        return [row["name"] for row in self.rows(least=least, columns="name, time")]

    def stored(self, name: str) -> list[Row]:
        """The site's rows of one name, once the browser has nothing left to send."""
        self.settled()
        return [row for row in self.rows() if row["name"] == name]
