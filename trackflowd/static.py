"""Files served from memory: the tracker's scripts under their names and versions, and the demo page.

**Codings.** gzip is packed at start. Brotli is packed when the scripts are built (``tools/pack.mjs``), into files
named by what they hold: ``assets/t.js.<digest>.br``. It is served exactly when the content is that content, so a
stale file is never served, and the daemon needs no library that can do nothing but this, once per start, for 3 KB.
The price: a script into which other paths were filled is served with gzip only, some 300 bytes more.

**Names.** For each ``http.script_path``, ``/t.js`` say, there are beside it ``/t.extras.js`` and ``/t.min.js``, and
each of these with a version: ``/t.3f9a1c2b4d5e.js``, ``/t.3f9a1c2b4d5e.extras.js``. The script finds its extras by
this rule; where its name has no ``.js``, ``/stats`` say, it asks for ``/stats.extras``, and people for
``/stats.extras.js``: both are served. One version stands for all files, so that a page's script and its extras go
together. The current version's urls are immutable; any other version, older or, while several daemons are being
upgraded, newer, is answered with the current script for ``SHORT`` seconds.

**Paths in it.** A script sends to paths relative to its own address, by default ``v1/events`` and
``v1/pixel.gif``. If the operator named others, the first of each is filled in, so a page's tag stays as short.
"""

from __future__ import annotations

import gzip
import hashlib
import posixpath
import re
from collections.abc import Mapping
from importlib import resources
from typing import Final, NamedTuple

#: A day is what a fix may take to arrive at an unversioned url.
LONG: Final = 86_400
#: A version that is not this daemon's: the page that names it will be mended, or this daemon upgraded, any minute.
SHORT: Final = 300
#: As long as caches keep anything.
FOREVER: Final = 31_536_000

#: What stands behind the name without ".js" → the file; "" is the script itself.
SCRIPTS: Final[Mapping[str, str]] = {"": "t.js", ".extras.js": "t.extras.js", ".min.js": "t.min.js"}
#: Paths as the scripts have them → the option that names them.
PATHS: Final[Mapping[str, str]] = {"v1/events": "event_path", "v1/pixel.gif": "pixel_path"}
VERSION_DIGITS: Final = 12

#: Pages that isolate themselves (Cross-Origin-Embedder-Policy) load only what allows it.
_SHARED = b"Cross-Origin-Resource-Policy: cross-origin\r\n"
_SCRIPT = b"Content-Type: text/javascript; charset=utf-8\r\n" + _SHARED
_PAGE = b"Content-Type: text/html; charset=utf-8\r\nCache-Control: no-cache\r\n"
_WEIGHT = re.compile(rb"\s*;\s*q\s*=\s*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*")


def asset(name: str) -> bytes | None:
    """A file of ``trackflowd/assets``; None if there is none of that name."""
    file = resources.files("trackflowd").joinpath("assets", name)
    return file.read_bytes() if file.is_file() else None


def digest(content: bytes) -> str:
    """Twelve hex digits that stand for a content."""
    return hashlib.blake2b(content, digest_size=VERSION_DIGITS // 2).hexdigest()


class Form(NamedTuple):
    """A content in one coding.

    Args:
        coding: b"br", b"gzip" or b"identity".
        etag: with its quotes; each coding has its own (RFC 9110 §8.8.3.3).
        body: as sent.
    """

    coding: bytes
    etag: bytes
    body: bytes

    def lines(self) -> bytes:
        """Its header lines."""
        etag = b"ETag: " + self.etag + b"\r\n"
        return etag if self.coding == b"identity" else etag + b"Content-Encoding: " + self.coding + b"\r\n"


class Static:
    """A content and its codings.

    Args:
        name: file in ``trackflowd/assets`` it comes from.
        content: what is served: the file's, paths filled in.
        headers: complete lines.
    """

    def __init__(self, name: str, content: bytes, headers: bytes) -> None:
        mark = digest(content)
        packed = {b"br": asset(f"{name}.{mark}.br"), b"gzip": gzip.compress(content, 9, mtime=0), b"identity": content}
        #: In the order they are preferred where a client has no preference of its own.
        self.forms = tuple(
            Form(coding, b'"%s-%s"' % (mark.encode(), coding), body)
            for coding, body in packed.items()
            if body is not None
        )
        self._headers = headers + b"Vary: Accept-Encoding, Origin\r\nX-Content-Type-Options: nosniff\r\n"

    def choose(self, headers: Mapping[bytes, bytes], lines: bytes = b"") -> tuple[int, bytes, bytes]:
        """Status, header lines and body for a request with these headers.

        Args:
            headers: the request's, by lower-case name.
            lines: more header lines of the answer.
        """
        form = preferred(self.forms, headers.get(b"accept-encoding"))
        lines = self._headers + lines + form.lines()
        known = [tag.strip().removeprefix(b"W/") for tag in headers.get(b"if-none-match", b"").split(b",")]
        if form.etag in known or known == [b"*"]:
            return 304, lines, b""
        return 200, lines, form.body


def preferred(forms: tuple[Form, ...], accepted: bytes | None) -> Form:
    """The form with the highest weight in Accept-Encoding (RFC 9110 §12.5.3); of several the first.

    Without the header, and where nothing is acceptable, it is the plain one. A weight that is none counts as 0. The
    plain form needs no mention, and then gives way to whatever is mentioned.
    """
    plain = forms[-1]
    if accepted is None:
        return plain
    weights: dict[bytes, float] = {}
    for part in accepted.lower().split(b","):
        name, semicolon, rest = part.partition(b";")
        match = _WEIGHT.fullmatch(semicolon + rest)
        weights[name.strip().removeprefix(b"x-")] = float(match[1]) if match else 0.0 if semicolon else 1.0
    others = weights.get(b"*", 0.0)

    def weight(form: Form) -> float:
        if form is plain:
            return weights.get(b"identity", 0.0)
        return weights.get(form.coding, others)

    best = max(forms, key=weight)
    return best if weight(best) else plain


def demo_page(script_path: str, event_path: str) -> Static:
    """The demo page, which names the paths in effect."""
    return Static(
        "demo.html", _filled(asset("demo.html") or b"", {"/t.js": script_path, "/v1/events": event_path}), _PAGE
    )


class Scripts:
    """The tracker's files under one script path.

    Args:
        script_path: of the first of them.
        paths: option of ``PATHS`` → path in effect.
    """

    def __init__(self, script_path: str, paths: Mapping[str, str]) -> None:
        near = {usual: _beside(script_path, paths[option]) for usual, option in PATHS.items()}
        contents = {mark: _filled(content, near) for mark, name in SCRIPTS.items() if (content := asset(name))}
        self.version = digest(b"\0".join(contents.values()))
        told = ";".join([self.version, *(f" {option[:-5]}={near[usual]}" for usual, option in PATHS.items())])
        headers = _SCRIPT + b"X-Trackflow-Script: %s\r\n" % told.encode()
        self._files = {mark: Static(SCRIPTS[mark], content, headers) for mark, content in contents.items()}
        self._stem = script_path.removesuffix(".js")
        self._suffix = script_path[len(self._stem) :]
        self._ends = {mark or self._suffix: mark for mark in self._files}
        if not self._suffix:
            self._ends |= {mark.removesuffix(".js"): mark for mark in self._files}
        self._path = re.compile(
            re.escape(self._stem)
            + rf"(?:\.([0-9a-f]{{{VERSION_DIGITS}}}))?"
            + f"({'|'.join(re.escape(end) for end in self._ends)})"
        )

    @property
    def versioned_path(self) -> str:
        """Path of the first script that is immutable."""
        return f"{self._stem}.{self.version}{self._suffix}"

    def find(self, path: bytes) -> tuple[Static, bytes] | None:
        """The file a path means and the header line on caching it; None: no script's path."""
        match = self._path.fullmatch(path.decode("latin-1"))
        if match is None:
            return None
        version, end = match.groups()
        policy = f"public, max-age={LONG}"
        if version is not None:
            policy = f"public, max-age={FOREVER}, immutable" if version == self.version else f"public, max-age={SHORT}"
        return self._files[self._ends[end]], b"Cache-Control: %s\r\n" % policy.encode()


def _beside(script_path: str, path: str) -> str:
    """A path as a script at script_path has to name it, also where a proxy put both below another."""
    near = posixpath.relpath(path, posixpath.dirname(script_path))
    return near + "/" if path.endswith("/") else near


def _filled(content: bytes, paths: Mapping[str, str]) -> bytes:
    usual = re.compile(b"|".join(re.escape(text.encode()) for text in paths))
    return usual.sub(lambda match: paths[match[0].decode()].encode(), content)
