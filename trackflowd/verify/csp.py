"""Content-Security-Policy: does a page's policy let a request through? No I/O.

As CSP Level 3 has it (§6.7.2, matching), for the three kinds of request that the tracker makes. Of the directives
that could speak of a kind the most special one that is there decides alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

#: Kind of request → directives that may speak of it, the most special one first.
KINDS: dict[str, tuple[str, ...]] = {
    "script": ("script-src-elem", "script-src", "default-src"),
    "connect": ("connect-src", "default-src"),
    "img": ("img-src", "default-src"),
}
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_HOST_SOURCE = re.compile(
    r"(?:([a-z][a-z0-9+.-]*)://)?(\*|(?:\*\.)?[^/:*\[\]]+|\[[0-9a-f:.]+\])(?::(\d+|\*))?(/.*)?", re.I
)
_HASH = re.compile(r"'sha(?:256|384|512)-[A-Za-z0-9+/_=-]+'", re.I)


class Policy(NamedTuple):
    """One policy: directive → its sources, both as written but for the directive's case."""

    directives: dict[str, list[str]]


def parse(texts: Iterable[str]) -> list[Policy]:
    """Policies of headers (where commas part several) and meta tags. All of them have to allow a request."""
    policies = []
    for text in texts:
        for part in text.split(","):
            directives: dict[str, list[str]] = {}
            for directive in part.split(";"):
                name, *sources = directive.split() or [""]
                directives.setdefault(name.lower(), sources)  # of a repeated directive the first counts
            directives.pop("", None)
            if directives:
                policies.append(Policy(directives))
    return policies


def blocked_by(
    policies: Sequence[Policy], kind: str, url: str, page: str, nonce: str = "", integrity: str = ""
) -> str | None:
    """The directive that keeps a page from a request, as written; None if all policies allow it.

    Args:
        policies: of ``parse``.
        kind: one of ``KINDS``.
        url: what is requested.
        page: the page's url.
        nonce, integrity: attributes of the script's tag.
    """
    for policy in policies:
        if kind == "script" and "sandbox" in policy.directives:
            allowed = [token.lower() for token in policy.directives["sandbox"]]
            if "allow-scripts" not in allowed:
                return " ".join(["sandbox", *policy.directives["sandbox"]])
        name = next((name for name in KINDS[kind] if name in policy.directives), None)
        if name is not None and not _allows(policy.directives[name], kind, url, page, nonce, integrity):
            return " ".join([name, *policy.directives[name]])
    return None


def _allows(sources: Sequence[str], kind: str, url: str, page: str, nonce: str, integrity: str) -> bool:
    target, own = urlsplit(url), urlsplit(page)
    if kind == "script":
        if nonce and f"'nonce-{nonce}'" in sources:
            return True
        hashes = {source.strip("'") for source in sources if _HASH.fullmatch(source)}
        if integrity.split() and all(value.partition("?")[0] in hashes for value in integrity.split()):
            return True
        if any(source.lower() == "'strict-dynamic'" for source in sources):
            return False  # then no address counts
    return any(_matches(source, target, own) for source in sources)


def _matches(source: str, target: SplitResult, own: SplitResult) -> bool:
    if source.lower() == "'self'":
        return target.hostname == own.hostname and _same_port(target, own)
    if source == "*":
        return target.scheme in _PORTS or target.scheme == own.scheme
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:", source):
        return _scheme_fits(source[:-1].lower(), target.scheme)
    match = _HOST_SOURCE.fullmatch(source)
    if match is None or source.startswith("'"):
        return False
    scheme, host, port, path = match.groups()
    return (
        _scheme_fits((scheme or own.scheme).lower(), target.scheme)
        and _host_fits(host.lower(), target.hostname or "")
        and _port_fits(port, target)
        and _path_fits(path, target.path or "/")
    )


def _scheme_fits(allowed: str, scheme: str) -> bool:
    """A secure scheme is let through where its insecure twin is."""
    return scheme == allowed or (allowed, scheme) in (
        ("http", "https"),
        ("ws", "wss"),
        ("http", "wss"),
        ("https", "wss"),
    )


def _host_fits(allowed: str, host: str) -> bool:
    if allowed == "*":
        return True
    if allowed.startswith("*."):
        return host.endswith(allowed[1:])
    return host == allowed.strip("[]")


def _port(url: SplitResult) -> int | None:
    try:
        return url.port or _PORTS.get(url.scheme)
    except ValueError:
        return None


def _port_fits(allowed: str | None, target: SplitResult) -> bool:
    port = _port(target)
    if allowed is None:
        return port == _PORTS.get(target.scheme)
    return allowed == "*" or int(allowed) == port or (int(allowed) == 80 and port == 443)


def _same_port(target: SplitResult, own: SplitResult) -> bool:
    """Same origin, or the same with the scheme made secure, both at their usual ports."""
    if target.scheme == own.scheme:
        return _port(target) == _port(own)
    return (own.scheme, target.scheme) == ("http", "https") and (_port(own), _port(target)) == (80, 443)


def _path_fits(allowed: str | None, path: str) -> bool:
    if allowed is None or allowed == "/":
        return True
    allowed, path = unquote(allowed), unquote(path)
    return path.startswith(allowed) if allowed.endswith("/") else path == allowed
