"""Every way a request or an event can be refused: code, status, when.

A code says the same everywhere: in the JSON answer (``{"error": code, "reason": text}``), in the
counters (``counters.REFUSALS`` has one per code) and in docs/protocol.md. Each code has one status.

Where several would do, a status was taken that stops senders from trying again what can never be
taken: trackers in the field give up after 400, 401, 403, 410 and 422 and retry the rest.
"""

from __future__ import annotations

from typing import NamedTuple

from trackflowd.errors import Refused


class Code(NamedTuple):
    """One row of the table.

    Args:
        name: the code.
        status: HTTP status when the whole request is refused for it.
        scope: ``connection``: the request cannot be read, the connection is closed after the answer;
            ``request``: this request, the connection goes on; ``event``: one event of a request.
        when: one line for the docs.
    """

    name: str
    status: int
    scope: str
    when: str


TABLE: tuple[Code, ...] = (
    Code("malformed", 400, "connection", "not HTTP as RFC 9112 has it, or in a form that proxies read differently"),
    Code("bad_host", 400, "connection", "no Host, two, one that is no host, or another than the target names"),
    Code("bad_version", 505, "connection", "a version other than HTTP/1.1 and HTTP/1.0"),
    Code("bad_transfer", 400, "connection", "Transfer-Encoding other than exactly `chunked`, or in HTTP/1.0"),
    Code("upgrade", 400, "connection", "Upgrade or CONNECT: there is nothing to change to"),
    Code("expectation", 417, "connection", "Expect other than `100-continue`"),
    Code("url_too_long", 414, "connection", "target longer than `http.max_url`"),
    Code("head_too_large", 431, "connection", "request line and headers longer than `http.max_head`"),
    Code("body_too_large", 413, "connection", "body longer than `http.max_body`"),
    Code("timeout", 408, "connection", "head or body not complete within its deadline"),
    Code("too_busy", 503, "connection", "unfinished bodies take more than `http.max_inflight`"),
    Code("too_many_connections", 503, "connection", "above `http.max_connections`, or as many of one address"),
    Code("not_found", 404, "request", "no such route"),
    Code("method", 405, "request", "route does not know this method; Allow names those it knows"),
    Code("unsupported_encoding", 415, "request", "Content-Encoding other than gzip and identity"),
    Code("bad_encoding", 400, "request", "body is not one whole gzip member, though it says or looks like gzip"),
    Code("inflated_too_large", 413, "request", "body inflates to more than `http.max_inflated`"),
    Code("empty", 400, "request", "no body, or no event in it"),
    Code("bad_json", 400, "request", "not JSON (RFC 8259: NaN and Infinity are not)"),
    Code("bad_utf8", 400, "request", "not UTF-8, or half of a surrogate pair"),
    Code("too_deep", 400, "request", "nested deeper than any event can be"),
    Code("too_many_events", 413, "request", "more than `http.max_events`, or more than a quarter of the ring"),
    Code("ring_full", 503, "request", "no room until the store has taken more; nothing of the request was kept"),
    Code("ring_failed", 503, "request", "the ring cannot be trusted; nothing of the request was kept"),
    Code("rate_limited", 429, "request", "the site sends faster than its `rate`; send it again after Retry-After"),
    Code("address_rate_limited", 429, "request", "the client's address sends faster than site or options let it"),
    Code("bad_key", 401, "request", "a server key that is wrong, expired or revoked"),
    Code("bad_token", 401, "request", "X-Trackflow-Debug without an admin's token that works: `trackflow tokens`"),
    Code("unknown_site", 403, "event", "`sites.mode` is registered and the site is not"),
    Code("key_site", 403, "event", "the server key is one of another site"),
    Code("origin", 403, "event", "the page's origin is not one of the site's `origins`"),
    Code("path", 403, "event", "the page's path is not one of the site's `paths`"),
    Code("opted_out", 200, "event", "not counted: GPC or DNT, and the site heeds it"),
    Code("bot", 200, "event", "not counted: a bot, and the site's `bot_policy` is refuse"),
    Code("excluded_address", 200, "event", "not counted: in the site's `exclude_addresses`"),
    Code("excluded_path", 200, "event", "not counted: in the site's `exclude_paths`"),
    Code("event_too_large", 413, "event", "finished event longer than an eighth of the ring"),
    Code("missing_key", 400, "event", "a required key is missing"),
    Code("unknown_key", 400, "event", "a key that does not exist"),
    Code("forbidden_key", 403, "event", "a key that needs a server key"),
    Code("bad_type", 400, "event", "a value of another type than its key has"),
    Code("bad_value", 400, "event", "a value of the right type that its key cannot have"),
)

STATUS: dict[str, int] = {code.name: code.status for code in TABLE}
#: What each says, for people.
MEANING: dict[str, str] = {code.name: code.when.replace("`", "") for code in TABLE}

#: What the operator may do about each, one line.
REMEDIES: dict[str, str] = {
    "malformed": "nothing for scanners; else have the client or the proxy before us send HTTP/1.1",
    "bad_host": "have the proxy pass Host on as it is, once",
    "bad_version": "have the client or proxy speak HTTP/1.1",
    "bad_transfer": "have the client send Content-Length or exactly `Transfer-Encoding: chunked`",
    "upgrade": "have the proxy not pass Upgrade on to the event listener",
    "expectation": "have the client leave Expect out",
    "url_too_long": "send by POST instead of the pixel, or raise `http.max_url`",
    "head_too_large": "have the proxy not pass cookies on, or raise `http.max_head`",
    "body_too_large": "send fewer events at once, or raise `http.max_body`",
    "timeout": "slow clients, or a flood: raise `http.header_timeout` and `http.body_timeout` only for the first",
    "too_busy": "a flood of large bodies, or raise `http.max_inflight`",
    "too_many_connections": "a flood; else raise `http.max_connections`, or name proxies in `http.trusted_proxies`",
    "not_found": "scanners, or a wrong path in a page: compare it with `http.event_path` and `http.script_path`",
    "method": "have the client use the method that Allow names",
    "unsupported_encoding": "have the client compress with gzip or not at all",
    "bad_encoding": "have the client compress the whole body once, and say so",
    "inflated_too_large": "send fewer events at once, or raise `http.max_inflated`",
    "empty": "have the client send at least one event",
    "bad_json": "mend the client: `trackflow debug request` shows where it is wrong",
    "bad_utf8": "have the client encode its text as UTF-8",
    "too_deep": "have the client put flat values into `props`",
    "too_many_events": "send fewer events at once, or raise `http.max_events` or `ring.size`",
    "ring_full": "bring the store back, or give rings and spool more room: `trackflow status` says which",
    "ring_failed": "look at the disk: `trackflow status`, `trackflow log`; what was answered 2xx is kept",
    "rate_limited": "`trackflow sites set SITE rate=… burst=…` if the site may send faster",
    "address_rate_limited": "raise the site's `address_rate` or `sites.address_rate` where many share an address",
    "bad_key": "`trackflow keys list` shows the keys that work; `trackflow keys add` makes one",
    "bad_token": "`trackflow tokens add NAME --scope admin` makes a token that works",
    "unknown_site": "`trackflow sites add SITE`, or mend the site's name in the page",
    "key_site": "use a key of this site: `trackflow keys add SITE`",
    "origin": "`trackflow sites set SITE origins=…` if the page is the site's",
    "path": "`trackflow sites set SITE paths=…` if the page is to be counted",
    "opted_out": "nothing: it is heeded as the site's `gpc` and `dnt` have it",
    "bot": "nothing; or `trackflow sites set SITE bot_policy=…` to keep bots, flagged",
    "excluded_address": "nothing; or `trackflow sites set SITE exclude_addresses=…`",
    "excluded_path": "nothing; or `trackflow sites set SITE exclude_paths=…`",
    "event_too_large": "have the client send less in `props` and titles, or raise `ring.size`",
    "missing_key": "mend the client: the answer names the key",
    "unknown_key": "mend the client: own values belong into `props`",
    "forbidden_key": "send it with a server key: `trackflow keys add SITE`",
    "bad_type": "mend the client: the answer names the key and the type it has",
    "bad_value": "mend the client: the answer names the key and what was expected",
}


def refused(code: str, reason: str) -> Refused:
    """The exception for a code.

    Args:
        code: one of the table's; else KeyError.
        reason: text for the sender: what is wrong and what would be right. Never an address.
    """
    return Refused(STATUS[code], code, reason)
