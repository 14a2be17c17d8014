"""``trackflow debug request``: what the daemon would decide for a request, and why."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from trackflowd.cli_ask import connect
from trackflowd.cli_event import event_line
from trackflowd.cli_parser import Commands
from trackflowd.cli_text import Style, clean, say, table, to_json
from trackflowd.errors import ConfigError

_HOST, _PATH = "localhost", "/v1/events"


def add_commands(commands: Commands) -> None:
    """Add this module's commands."""
    group = commands.group(
        "debug",
        "why something is as it is",
        "trackflow debug request --body @event.json --header 'Origin: https://example.com'",
    )
    parser = group.add(
        "request",
        "what the daemon would decide for a request, and why; nothing is stored or counted",
        _request,
        'trackflow debug request --body \'{"site": "example.com", "name": "pageview"}\' --peer 203.0.113.9\n'
        "trackflow debug request --body @event.json --header 'Origin: https://example.com' --header 'DNT: 1'\n"
        "trackflow debug request --url 'https://stats.example.com/v1/pixel.gif?site=example.com&name=pageview'\n"
        "trackflow debug request --json < request.http",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", default="", help="what is asked for; its host goes into Host")
    where.add_argument("--path", default="", help=f"the same without a host (default: {_PATH})")
    parser.add_argument("--method", default="", help="default: POST with a body, else GET")
    parser.add_argument("--header", action="append", default=[], metavar="NAME: VALUE", help="may be repeated")
    parser.add_argument("--body", metavar="TEXT", help="as it is sent; @FILE reads it from a file")
    parser.add_argument("--peer", default="127.0.0.1", metavar="ADDRESS", help="who connects (default: 127.0.0.1)")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.epilog = f"{parser.epilog}\n\nwithout --url, --path and --body a whole request is read from standard input"


def _request(args: argparse.Namespace) -> int:
    given = args.body is not None or args.url or args.path
    raw = _built(args) if given else _piped(args)
    with connect(args) as client:
        value: dict[str, Any] = client.call("debug_request", request=raw.decode("latin-1"), peer=args.peer)
    say(to_json(value, 2) if args.json else "\n".join(lines(value, Style.of(sys.stdout))))
    return 0


def _piped(args: argparse.Namespace) -> bytes:
    """A request as it stands in a file; an editor's line ends become those of HTTP."""
    if args.header or args.method:
        raise ConfigError("--header and --method need --url, --path or --body", "or put them into the request")
    if sys.stdin.isatty():
        raise ConfigError("no request", "try: trackflow debug request --body @event.json")
    raw = sys.stdin.buffer.read()
    head, blank, body = raw.partition(b"\r\n\r\n")
    if not blank:
        head, _, body = raw.partition(b"\n\n")
        head = head.rstrip(b"\n").replace(b"\n", b"\r\n")
    return head + b"\r\n\r\n" + body


def _built(args: argparse.Namespace) -> bytes:
    """A request of the flags."""
    host, target = _HOST, args.path or _PATH
    if args.url:
        url = urlsplit(args.url)
        host, target = url.netloc or _HOST, (url.path or "/") + (f"?{url.query}" if url.query else "")
    body = b"" if args.body is None else _content(args.body)
    method = args.method or ("GET" if args.body is None else "POST")
    names = {text.partition(":")[0].strip().lower() for text in args.header}
    headers = list(args.header)
    if "host" not in names:
        headers.insert(0, f"Host: {host}")
    if args.body is not None and not names & {"content-length", "transfer-encoding"}:
        headers.append(f"Content-Length: {len(body)}")
    head = "\r\n".join([f"{method} {target} HTTP/1.1", *headers])
    return head.encode() + b"\r\n\r\n" + body


def _content(text: str) -> bytes:
    return Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()


def lines(value: Mapping[str, Any], style: Style) -> list[str]:
    """A decision for people.

    Args:
        value: as the daemon answers.
        style: colours.
    """
    answer, request = value["answer"], value["request"]
    asked = " ".join(clean(request[name]) for name in ("method", "path") if request[name])
    dialect = f"  read as {clean(request['dialect'])}" if request["dialect"] else ""
    place, agent = value["place"], value["agent"]
    where = " · ".join(clean(place[name]) for name in ("country", "region", "city", "asn") if place[name])
    names = ("browser", "browser_version", "os", "os_version", "device")
    rows = [
        ("client", _client(value["client"])),
        ("place", where or "not known"),
        ("agent", " ".join(clean(agent[name]) for name in names if agent[name]) or "not known"),
        ("bot", clean(agent["bot"]) or "no rule flags it"),
        ("request", (asked or "cannot be read") + dialect),
        ("answer", f"{answer['status']}{_why(answer, style)}"),
    ]
    told = table([(style.dim(name), text) for name, text in rows])
    for event in value["events"]:
        told += ["", *_event(event, style)]
    return told


def _client(client: Mapping[str, Any]) -> str:
    peer = f"{clean(client['peer'])}, {'a trusted proxy' if client['trusted'] else 'who connects'}"
    if not client["header"]:
        return peer
    return f"{clean(client['address'])}: {client['header']}, hop {client['hop']} from the right; by {peer}"


def _why(one: Mapping[str, Any], style: Style) -> str:
    if not one["refused"]:
        return ""
    code, reason, meaning, remedy = (clean(one[name]) for name in ("refused", "reason", "meaning", "remedy"))
    return f" refused, {style.bad(code)}: {reason} ({meaning}). To do: {remedy}"


def _event(event: Mapping[str, Any], style: Style) -> Iterator[str]:
    number = f"event {event['index']}"
    if "refused" in event:
        yield f"{number} is{_why(event, style)}"
        return
    yield f"{number} is taken: {event_line({**event, 'visitor': int(event['visitor'], 16)}, style)}"
    visitor = f"{clean(event['visitor'])}, with the salt of {clean(event['salt_day'])}"
    bot = clean(event["bot"]) or "no"
    parts = ("source", "medium", "channel", "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
    campaign = ", ".join(f"{name} {clean(event[name])}" for name in (*parts, "click_id") if event.get(name))
    rows = [("visitor", visitor), ("bot", bot), ("campaign", campaign or "none"), ("url", clean(event["url"]))]
    yield from table([("  " + style.dim(name), text) for name, text in rows])
