"""What an answer means for ``verify``: is it our script, would a browser run it, may the page read it. No I/O."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from trackflowd.verify.fetch import Got, Unreachable, origin
from trackflowd.verify.page import Tag

#: Browsers take these for scripts (WHATWG MIME Sniffing §4.6, "JavaScript MIME type"; the usual ones).
_TYPES = ("text/javascript", "application/javascript", "application/x-javascript", "text/ecmascript")


def is_ours(got: Got) -> bool:
    """It is the tracker's script."""
    return got.status == 200 and (got.header("x-trackflow-script") is not None or b"trackflow" in got.body.lower())


def why_not_run(got: Got, page: Got, tag: Tag) -> tuple[str, str] | None:
    """What keeps a browser from running what it got, and how to mend it; None: nothing does.

    Args:
        got: the script's answer.
        page: the page's.
        tag: the script's.
    """
    if got.kind not in _TYPES:
        return f"{got.url} is {got.kind or 'of no type'}, which browsers do not run", "let src name the script"
    own = origin(page.url)
    foreign = origin(got.url) != own
    shared = (got.header("cross-origin-resource-policy") or "").lower()
    if foreign and shared in ("same-origin", "same-site"):
        mend = "take the header Cross-Origin-Resource-Policy out, in the proxy or CDN in front of the daemon"
        return f"{got.url} is kept for its own origin ({shared})", mend
    isolated = (page.header("cross-origin-embedder-policy") or "").partition(";")[0].strip().lower() == "require-corp"
    plain = "crossorigin" not in tag.attributes and tag.attributes.get("type", "").lower() != "module"
    if foreign and isolated and plain and not shared:
        mend = "let the script's answer carry Cross-Origin-Resource-Policy: cross-origin, as the daemon sends it"
        return "the page isolates itself (COEP), and the script does not allow that", mend
    credentials = tag.attributes.get("crossorigin", "").lower() == "use-credentials"
    if foreign and not plain and not lets_in(got, own, credentials):
        mend = "take crossorigin out of the tag, or let the proxy pass on Access-Control-Allow-Origin"
        return "the tag has crossorigin, and the script's answer does not allow it", mend
    if not _intact(tag.attributes.get("integrity", ""), got.body):
        mend = "take integrity out of the tag: the script changes with the daemon's version"
        return "its content is not what integrity in the tag says", mend
    return None


def lets_in(got: Got, own: str, credentials: bool) -> bool:
    """Pages of an origin may read the answer (CORS).

    Args:
        credentials: the request has some, as ``sendBeacon`` always has; then "*" does not do.
    """
    allowed = got.header("access-control-allow-origin")
    if not credentials:
        return allowed in ("*", own)
    return allowed == own and (got.header("access-control-allow-credentials") or "") == "true"


def _intact(integrity: str, body: bytes) -> bool:
    """Subresource Integrity: one of the strongest hashes named fits."""
    named: dict[str, set[str]] = {}
    for part in integrity.split():
        kind, _, value = part.partition("-")
        named.setdefault(kind.lower(), set()).add(value.partition("?")[0])
    for kind in ("sha512", "sha384", "sha256"):
        if kind in named:
            return base64.b64encode(hashlib.new(kind, body).digest()).decode() in named[kind]
    return True  # none, or none that browsers know: they check nothing


def json_object(got: Got) -> dict[str, Any]:
    """The answer's JSON object, {} where it is none."""
    try:
        value = json.loads(got.body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def reason(got: Got) -> str:
    """Why it was refused: the daemon's words, or the beginning of somebody else's."""
    answer = json_object(got)
    if isinstance(answer.get("error"), str):
        return f"{answer['error']}: {answer.get('reason', '')}"
    text = " ".join(got.body[:200].decode("utf-8", "replace").split())
    return text[:80] or "nothing"


def source(url: str) -> str:
    """What to write into a policy for a url."""
    try:
        return origin(url)
    except Unreachable:
        return url
