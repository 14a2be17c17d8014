"""Writes the screens of docs/console.md: ``python -m tests.screens``.

A place for one is a comment ``<!-- screen: NAME WxH -->``; what follows it up to the next empty line after a block
of code is replaced by what tmux shows.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.traffic.tables import COUNTRIES
from tests import geo_files
from tests.process.harness import ROOT, Daemon
from tests.tmux import Terminal

PAGE = ROOT / "docs" / "console.md"
SITE = "shop.example"
_MARK = re.compile(r"<!-- screen: (\w+) (\d+)x(\d+) -->\n(?:\n```\n.*?\n```\n)?", re.S)
_OPERATOR = "from trackflowd.cli import operator; raise SystemExit(operator())"

#: What has to stand on a screen before it is taken; "away" is the overview of a daemon without a store.
_AWAIT = {
    "overview": ("ready", "peak"),
    "away": ("store away for", "peak"),
    "pipeline": ("workers", "▶", "rows/s"),
    "audience": ("as of", "Campaigns"),
    "live": ("as they come", "pageview"),
    "processes": ("Places",),
    "tasks": ("history",),
}


def main() -> int:
    """Make the screens; the exit code."""
    text = PAGE.read_text()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        well = _daemon(directory, "well", "chdb:")
        stack.callback(well.end)
        away = _daemon(directory, "away", "clickhouse://user@127.0.0.1:9/trackflow")
        stack.callback(away.end)
        for daemon, rate in ((well, 250), (away, 50)):
            stack.callback(_traffic(daemon, rate).kill)
        terminals = {
            mark: stack.enter_context(_terminal(directory, away if mark[0] == "away" else well, *mark))
            for mark in sorted(set(_MARK.findall(text)))
        }
        well.await_status(lambda status: status["totals"]["rows_stored"] > 12_000)
        well.call("replay", since=600, dry_run=False)
        made = {mark: _screen(mark[0], terminal) for mark, terminal in terminals.items()}
        PAGE.write_text(_MARK.sub(lambda found: _block(found, made[found[1], found[2], found[3]], directory), text))
    print(f"{len(made)} screens in {PAGE.relative_to(ROOT)}")
    return 0


def _daemon(directory: Path, name: str, store: str) -> Daemon:
    place = directory / name
    (place / "data" / "geo").mkdir(parents=True)
    records = {block: {"country_code": country.code} for country, _ in COUNTRIES for block in country.blocks}
    geo_files.write(place / "data" / "geo" / "country.mmdb", records)
    sets: tuple[str, ...] = (
        "ring.size=16MiB",
        "log.level=info",
        "http.trusted_proxies=127.0.0.0/8",
        f"store.url={store}",
    )
    if name == "away":
        sets += ("spool.max_bytes=32MiB",)
    daemon = Daemon(place, *sets)
    daemon.start(ready=name == "well")
    return daemon


def _traffic(daemon: Daemon, rate: int) -> subprocess.Popen[bytes]:
    words = ["--url", daemon.http, "--site", SITE, "--rate", str(rate), "--connections", "16", "--shape", "mixed"]
    return subprocess.Popen(
        [sys.executable, "-m", "bench", "traffic", *words, "--duration", "900"],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _terminal(directory: Path, daemon: Daemon, name: str, columns: str, rows: str) -> Terminal:
    place = directory / f"{name}-{columns}"
    place.mkdir()
    tab = "overview" if name == "away" else name
    words = [sys.executable, "-c", _OPERATOR, "--socket", str(daemon.socket), "console", "--tab", tab]
    return Terminal(place, words, int(columns), int(rows), {"PYTHONPATH": str(ROOT), "TZ": "UTC"})


def _screen(name: str, terminal: Terminal) -> str:
    terminal.await_text(*_AWAIT[name])
    first, *others = terminal.lines()
    host = " stats "  # this machine's name is nobody's business
    named = re.sub(r"(TrackFlow ) (\S+) ", lambda found: found[1] + host, first)
    gap = max(re.findall(r" +", named), key=len)
    first = named.replace(gap, " " * (len(gap) - len(named) + len(first)), 1)
    return "\n".join(line.rstrip() for line in (first, *others)).rstrip("\n")


def _block(found: re.Match[str], shown: str, directory: Path) -> str:
    shown = shown.replace(str(directory), "/var/lib")
    return f"<!-- screen: {found[1]} {found[2]}x{found[3]} -->\n\n```\n{shown}\n```\n"


if __name__ == "__main__":
    sys.exit(main())
