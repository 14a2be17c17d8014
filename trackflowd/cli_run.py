"""``trackflowd run`` and ``trackflowd check``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from trackflowd import config, sealing
from trackflowd.cli_event import event_line
from trackflowd.cli_status import NO_GEO, geo_text
from trackflowd.cli_text import Style, clean, say, size
from trackflowd.client import candidates
from trackflowd.endpoint import Endpoint, read_endpoint
from trackflowd.sink.base import masked

#: What ``--follow`` suggests to type, with what it shows.
_TRY = (
    ('query "SELECT name, path, country, browser FROM events"', "rows, in SQL"),
    ("stats overview --period today", "visitors, pages, sources"),
    ("status --watch", "the daemon at work"),
    ("tail", "events as they come"),
)

#: With a trusted proxy (loopback in `make run`) curl may say whose request it passes on: a British one.
_ELSEWHERE = """curl -H 'X-Forwarded-For: 81.2.69.142' -d '{"site": "demo", "name": "hello"}'"""

#: Options that ``check`` shows by lines of their own, worked out.
_SHOWN = {
    "http.listen",
    "admin.listen",
    "daemon.data_dir",
    "daemon.workers",
    "control.socket",
    "ring.size",
    "store.url",
}


def source(args: argparse.Namespace, env: Mapping[str, str]) -> config.Source:
    """Where the flags have the configuration come from; ``--data-dir`` is short for ``--set daemon.data_dir=``."""
    sets = list(args.set)
    if args.data_dir:
        sets.append(f"daemon.data_dir={os.path.abspath(args.data_dir)}")
    return config.Source(args.config, sets, env)


def check(args: argparse.Namespace) -> int:
    """Read the configuration and say what it comes to; mistakes arrive as ConfigError."""
    cfg = source(args, os.environ).load()
    sealing.check(cfg.tls)
    style = Style.of(sys.stdout)
    say(style.good("ok") + "  " + (args.config or "no file: defaults, environment and flags"))
    for name, value in _summary(cfg):
        say(f"    {style.dim(name.ljust(9))}{value}")
    return 0


def _summary(cfg: config.Config) -> list[tuple[str, str]]:
    changed = [
        f"{row.key} = {row.kind.write(value)}"
        for row in config.options()
        if row.key not in _SHOWN and (value := getattr(getattr(cfg, row.section), row.name)) != row.default
    ]
    lines = [
        ("events", ", ".join(cfg.http.listen)),
        ("admin", cfg.admin.listen or "off"),
        ("data", cfg.daemon.data_dir),
        ("control", cfg.control.socket),
        ("store", clean(masked(cfg.store.url))),
        ("workers", f"{cfg.daemon.workers}, a ring of {size(cfg.ring.size)} each"),
    ]
    return lines + [("" if index else "changed", text) for index, text in enumerate(changed)]


def run(args: argparse.Namespace) -> int:
    """Run the daemon until it is stopped; its exit code."""
    options = source(args, os.environ)
    cfg = options.load()
    # Here and not above: only the daemon itself needs what the supervisor needs.
    from trackflowd import supervisor

    if not args.follow:
        return supervisor.run(cfg, source=options)
    follower = Follower(cfg, Style.of(sys.stdout))
    return supervisor.run(cfg, on_ready=follower.ready, on_event=follower.event, source=options)


class Follower:
    """What ``run --follow`` prints: where everything is, then one line per event.

    Args:
        cfg: for whether there is a demo page.
        style: colours of standard output.
    """

    def __init__(self, cfg: config.Config, style: Style) -> None:
        self._cfg = cfg
        self._style = style

    def ready(self, status: Mapping[str, Any]) -> None:
        """Said once, when the daemon can take events; status is what ``trackflow status`` gets."""
        style, listen = self._style, status.get("listen") or {}
        addresses = [clean(address) for address in listen.get("http") or ["?"]]
        url = _url(addresses, [read_endpoint(text) for text in self._cfg.http.listen])
        rows = [("demo page", style.bold(style.name(url + "/")))] if self._cfg.http.demo else []
        rows.append(("events", f"POST {url}{self._cfg.http.event_path[0]}"))
        if listen.get("admin"):
            rows.append(("probes", f"http://{clean(listen['admin'])}/healthz  /readyz"))
        rows += [("data", clean(status.get("data_dir", ""))), ("control", clean(listen.get("control", "")))]
        geo = status.get("geo")
        rows.append(("geo", geo_text(geo) if geo else NO_GEO))
        command = operator_command(clean(listen.get("control", "")), sys.argv[0], os.environ)
        longest = max(len(tail) for tail, _ in _TRY)
        say(f"\n{style.good('TrackFlow is up.')} Ctrl-C stops it.\n")
        for name, text in rows:
            say(f"  {style.dim(name.ljust(11))}{text}")
        say("\nIn another terminal:\n")
        for tail, about in _TRY:
            say(f"  {command} {tail.ljust(longest)}  {style.dim(about)}")
        if self._cfg.http.trusted_proxies and url.startswith("http"):
            say(f"\nA visitor from elsewhere:\n\n  {_ELSEWHERE} {url}{self._cfg.http.event_path[0]}")
        say("\nEvents show up here as they come.\n")

    def event(self, row: Mapping[str, Any]) -> None:
        """One accepted event."""
        say(event_line(row, self._style))


def _url(addresses: Sequence[str], endpoints: Sequence[Endpoint]) -> str:
    """What a path is put behind to reach the first listener that browsers can; "unix:/path " where there is none.

    Args:
        addresses: with their real ports.
        endpoints: what they are.
    """
    for address, endpoint in zip(addresses, endpoints, strict=False):
        if not (endpoint.path or endpoint.proxy or endpoint.redirect):
            return f"{'https' if endpoint.tls else 'http'}://{address}"
    return f"{addresses[0]} "


def operator_command(socket: str, program: str, env: Mapping[str, str]) -> str:
    """How to type ``trackflow`` so that it is found and finds this daemon.

    Args:
        socket: the daemon's control socket.
        program: path this program was started by; ``trackflow`` lies beside it.
        env: the environment, for $PATH and $TRACKFLOW_SOCKET.
    """
    beside = os.path.join(os.path.dirname(program), "trackflow")
    on_path = os.path.dirname(os.path.abspath(program)) in env.get("PATH", "").split(os.pathsep)
    command = "trackflow" if on_path or not os.path.exists(beside) else os.path.relpath(beside)
    found = [os.path.abspath(path) for path in candidates(env)]
    return command if os.path.abspath(socket) in found else f"{command} --socket {os.path.relpath(socket)}"
