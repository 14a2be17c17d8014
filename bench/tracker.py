"""Main-thread time of the browser script while a page loads, under CPU throttling, by Chromium's own trace.

A page with the tag is loaded again and again, each time in a browser context of its own, so nothing is
cached. Counted is what the trace says was spent in the script: compiling and running it, and its timers
and event handlers until the first events were sent (microtasks after a ``fetch`` are not ascribed to a file
and therefore missing). It is CPU time of the thread, throttling included, so that other programs on the
machine count little. The server is a stub that accepts everything: what is measured is the browser.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PAGE = """<!doctype html><title>Page</title><link rel="icon" href="data:,"><h1>A page</h1>
<script defer src="/{script}" data-site="bench" data-allow="localhost automation"></script>"""
#: Of a trace, what runs a script's code on the main thread; each names the script's address.
_RUNS = ("EvaluateScript", "FunctionCall")


class _Stub(BaseHTTPRequestHandler):
    """Serves the page and the scripts, accepts events."""

    script = "t.js"

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        name = self.path.strip("/")
        if name.endswith(".js"):
            self._answer("text/javascript", resources.files("trackflowd").joinpath("assets", name).read_bytes())
        else:
            self._answer("text/html", PAGE.format(script=self.script).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        with suppress(BrokenPipeError):  # the load is over once it has been asked
            self._answer("application/json", b'{"accepted": 1, "refused": []}')

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


def spent(trace: Sequence[dict[str, Any]], address: str) -> tuple[float, float]:
    """Milliseconds of a trace spent in the script at address: first run (with compiling), and all together.

    Args:
        trace: ``traceEvents`` of Chromium's trace format; ``tdur`` is CPU time in microseconds.
        address: of the script.
    """
    runs = [
        (event["name"], event["tdur"] / 1000)
        for event in trace
        if event.get("ph") == "X" and event["name"] in _RUNS and event["args"].get("data", {}).get("url") == address
    ]
    first = sum(duration for name, duration in runs if name == "EvaluateScript")
    return first, sum(duration for _, duration in runs)


def load(browser: Browser, url: str, script: str, throttle: float) -> tuple[float, float]:
    """One load; see ``spent``."""
    context = browser.new_context()
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": throttle})
    browser.start_tracing(page=page, categories=["devtools.timeline"])
    with page.expect_request("**/v1/events"):
        page.goto(url)
    trace = json.loads(browser.stop_tracing())["traceEvents"]
    context.close()
    return spent(trace, f"{url}{script}")


def measure(script: str, loads: int, throttle: float) -> dict[str, Any]:
    """Medians over so many loads of a page with the script.

    Raises:
        FileNotFoundError: there is no Chromium.
        ImportError: there is no playwright.
    """
    from playwright.sync_api import sync_playwright  # of the extra "test": the other nouns go without

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise FileNotFoundError("chromium is missing: apt-get install chromium")
    stub = type("Stub", (_Stub,), {"script": script})
    server = ThreadingHTTPServer(("127.0.0.1", 0), stub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        load(browser, url, script, throttle)  # warms Chromium, not the script
        found = [load(browser, url, script, throttle) for _ in range(loads)]
        version = browser.version
        browser.close()
    server.shutdown()
    first, every = zip(*found, strict=True)
    return {
        "script": script,
        "chromium": version,
        "throttle": throttle,
        "loads": loads,
        "first_ms": round(statistics.median(first), 2),
        "first_worst_ms": round(max(first), 2),
        "all_ms": round(statistics.median(every), 2),
    }


def main(argv: Sequence[str]) -> int:
    """Entry of ``python -m bench tracker``; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench tracker",
        description="Main-thread time of the browser script on load, under CPU throttling.",
        epilog="Example: python -m bench tracker --loads 15 --throttle 4",
    )
    parser.add_argument("--script", default="t.js", choices=("t.js", "t.min.js"))
    parser.add_argument("--loads", type=int, default=15, help="loads to take the median of (15)")
    parser.add_argument("--throttle", type=float, default=4, help="times slower than this machine's CPU (4)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(argv)
    try:
        figures = measure(options.script, options.loads, options.throttle)
    except (FileNotFoundError, ImportError) as error:
        hint = "; pip install playwright" if isinstance(error, ImportError) else ""
        print(f"bench: {error}{hint}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:15}{value}")
    return 0
