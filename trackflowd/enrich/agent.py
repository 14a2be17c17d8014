"""User-Agent → browser, operating system, device class.

Families come from ua-parser's rules (uap-core) in their Rust engine; the device class is our own
handful of patterns, as uap-core knows thousands of models but not what kind of thing they are.

Limits of the header itself: iPads since iPadOS 13 say they are Macs, Windows 11 says it is 10,
and browsers freeze their minor versions. Only major versions are kept.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import ua_parser
from ua_parser.loaders import load_lazy_builtins
from ua_parser.regex import Resolver

from trackflowd.enrich import bots
from trackflowd.enrich.marks import Marks
from trackflowd.event import bound, cut

#: Bytes of an agent that are looked at. Real ones are under 300; the parser's time grows with
#: length (a random agent of 2 KB costs over 200 µs).
MAX_AGENT = 512

# Substrings of the lower-case agent; the first row that holds decides, so a television that runs
# Android is a television.
_CLASSES = Marks(
    (
        ("console", ("playstation", "nintendo", "xbox")),
        (
            "tv",
            (
                "smart-tv", "smarttv", "googletv", "android tv", "appletv", "apple tv", "hbbtv", "web0s", "netcast",
                "bravia", "viera", "roku", "crkey", "; aft", "philipstv", "vidaa", " tv ", " tv;", "dtv", "tizen; tv",
            ),
        ),
        ("tablet", ("ipad", "tablet", "playbook", "kindle")),
        (
            "mobile",
            ("mobile", "iphone", "ipod", "windows phone", "blackberry", "bb10", "opera mini", "kaios", "midp"),
        ),
        # Android browsers say "Mobile" on telephones and leave it out on tablets.
        ("tablet", ("android", "silk/")),
        ("desktop", ("windows", "macintosh", "mac os x", "x11", "linux", "cros", "freebsd", "openbsd", "netbsd")),
    )
)  # fmt: skip


class Agent(NamedTuple):
    """The agent part of a row, in table order."""

    browser: str
    browser_version: str
    os: str
    os_version: str
    device: str
    bot: str


@functools.cache
def _parser() -> ua_parser.Parser:
    """The rules, compiled (0.2 s and 25 MB, once per process)."""
    return ua_parser.Parser(Resolver(load_lazy_builtins()))


def warm() -> None:
    """Load the rules and parse one agent, so that no event waits for it."""
    parse("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")


def parse(header: str) -> Agent:
    """What an agent says it is. Not cached here: ``finish`` keeps the encoded result.

    Args:
        header: the User-Agent header, "" if there was none; only ``MAX_AGENT`` bytes count.
    """
    text = cut(header, MAX_AGENT)
    result = _parser().parse(text)
    browser, system, device = result.user_agent, result.os, result.device
    bot = bots.rule(text, device is not None and device.family == "Spider")
    return Agent(
        _family(browser.family if browser else None, "browser"),
        _version(browser.major if browser else None),
        _family(system.family if system else None, "os"),
        _version(system.major if system else None),
        "bot" if bot else device_class(text),
        bot,
    )


def device_class(agent: str) -> str:
    """desktop, mobile, tablet, tv, console, or other for an agent that is no bot's."""
    return _CLASSES.find(agent.lower()) or "other"


def _family(text: str | None, field: str) -> str:
    return "" if text is None or text == "Other" else cut(text, bound(field))


def _version(text: str | None) -> str:
    return "" if text is None else cut(text, bound("browser_version"))
