"""Events of one set of headers under the policy: read as far as their sender may say it, judged, made rows.

``intake`` takes this way only where there is something to decide: a server key was shown, or a site has settings of
its own. Else an event costs nothing more than before. What could not be read is counted here as its site's, either way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from trackflowd import policy as policies
from trackflowd.enrich.finish import MAX_AGE_MS, Finisher, Row
from trackflowd.errors import Limited, Refused
from trackflowd.policy import Key, Policy, Rules, Sender
from trackflowd.proto.dialects import Dialect, Event, Limits, RefusedEvent, Taken
from trackflowd.proto.refusals import refused
from trackflowd.proto.request import Request
from trackflowd.site import ANY

#: Codes of events that are JSON, or a query, and no events: those may still name their site.
_UNREAD = frozenset({"missing_key", "unknown_key", "forbidden_key", "bad_type", "bad_value"})


class Admission:
    """What follows from a request's headers, for all requests that have the same.

    Args:
        dialect: of the route.
        finisher: makes rows.
        headers: by lower-case name.
        refused: what is refused of a site is counted here, by site and code.

    Attributes:
        lang, referer: Accept-Language and Referer; "": there is none.
        shown: what follows ``Bearer`` in Authorization; None: no key was shown.
    """

    def __init__(
        self, dialect: Dialect, finisher: Finisher, headers: dict[bytes, bytes], refused: Counter[tuple[str, str]]
    ) -> None:
        self._refused = refused
        self._left: list[tuple[str, str]] = []
        self.shown = policies.bearer(headers)
        self._dialect = dialect
        self._finisher = finisher
        self._agent = headers.get(b"user-agent", b"")
        self._sender = policies.sender(headers, None)
        self.lang, self.referer = _text(headers, b"accept-language"), _text(headers, b"referer")

    def read(self, policy: Policy, request: Request, limits: Limits, now_ms: int) -> Taken:
        """The events of a request.

        Raises:
            Refused: see ``Dialect.read`` and ``Policy.key``.
        """
        self._sender = self._sender._replace(key=self._key(policy, now_ms))
        read = self._dialect.read_server if self._sender.key is not None else None
        return (read or self._dialect.read)(request, limits)

    def refused(self, policy: Policy, request: Request, refusal: Refused) -> None:
        """Count the only event of a request, which could not be read, as its site's; nothing if it was refused else."""
        if refusal.code in _UNREAD:
            self._refused.update(self._whose(policy, request, [RefusedEvent(0, refusal.code, "")]))

    def unread(self, policy: Policy, request: Request, bad: Sequence[RefusedEvent]) -> None:
        """Count events that could not be read, of a request some of which were, as their sites'."""
        self._refused.update(self._whose(policy, request, bad))

    def rows(
        self,
        policy: Policy,
        request: Request,
        events: Sequence[Event],
        bad: Sequence[RefusedEvent],
        address: str,
        now_ms: int,
    ) -> tuple[list[Row], list[RefusedEvent]]:
        """The rows of those that may be sent and are counted; all others, in the order they came.

        Args:
            request: that was read.
            events, bad: what ``read`` gave.
            address: the sender's, in its usual form; "" if unknown.
            now_ms: ms since 1970 UTC.

        Raises:
            Limited: the request comes too early; none of its events is taken.
        """
        good: list[tuple[Event, Rules]] = []
        judged = self._whose(policy, request, bad) if bad else []
        refusals = list(bad)
        before = {one.index for one in bad}
        places = (n for n in range(len(events) + len(bad)) if n not in before)
        for place, event in zip(places, events, strict=True):
            try:
                good.append((event, self._judged(policy, event, address, now_ms)))
            except Refused as refusal:
                judged.append((event.site, refusal.code))
                refusals.append(RefusedEvent(place, refusal.code, str(refusal)))
        refusals.sort(key=lambda one: one.index)
        if good and policy.limited:
            # Counter takes 1 µs to be made, and most requests have one event
            sites = {good[0][0].site: 1} if len(good) == 1 else Counter(event.site for event, _ in good)
            # a server's own address says nothing of how many visitors it speaks for
            try:
                policy.spend(sites, "" if self._sender.key is not None else address)
            except Limited as limited:
                self._refused.update({(site, limited.code): number for site, number in sites.items()})
                raise
        self._left = judged
        return [self._row(event, rules, address, now_ms) for event, rules in good], refusals

    def taken(self) -> None:
        """What ``rows`` made last is in the ring: what it refused is refused."""
        self._refused.update(self._left)

    def _whose(self, policy: Policy, request: Request, bad: Sequence[RefusedEvent]) -> list[tuple[str, str]]:
        """Site and code of those that name a registered site; any other name may be made up."""
        sites = self._dialect.whose(request, [one.index for one in bad])
        return [(site, one.error) for site, one in zip(sites, bad, strict=True) if policy.registered(site)]

    def _key(self, policy: Policy, now_ms: int) -> Key | None:
        return None if self.shown is None else policy.key(self.shown, now_ms)

    def _judged(self, policy: Policy, event: Event, address: str, now_ms: int) -> Rules:
        """The rules of an event's site, which let it pass."""
        sender, rules = self._sender, policy.rules(event.site)
        if rules is None:
            raise policies.reason("unknown_site")
        if sender.key is not None:
            if sender.key.site not in (ANY, event.site):
                raise policies.reason("key_site")
            _place_in_time(event, now_ms)
        if not rules.plain:
            self._judge(rules, sender, event, event.ip or address)
        return rules

    def _row(self, event: Event, rules: Rules, address: str, now_ms: int) -> Row:
        agent: bytes | str = event.agent or self._agent
        return self._finisher.row(
            event, agent, event.ip or address, self.lang, self.referer, now_ms, rules.shift_ms, rules.store_ip
        )

    def _judge(self, rules: Rules, sender: Sender, event: Event, address: str) -> None:
        url = event.url or self.referer
        code, kept = rules.verdict(sender, address, url)
        # a server's own agent (a library) says nothing of its visitors
        if not code and rules.refuses_bots and (sender.key is None or event.agent):
            code = "bot" if self._finisher.is_bot(event.agent or self._agent) else ""
        if code:
            raise policies.reason(code)
        event.url = kept


def _place_in_time(event: Event, now_ms: int) -> None:
    """Have the time a server gave count as an age."""
    if not event.time_ms:
        return
    age = now_ms - event.time_ms
    if age > MAX_AGE_MS:
        raise refused("bad_value", f"time: at most {MAX_AGE_MS // 86_400_000} days ago was expected")
    event.age_ms = max(age, 0)


def _text(headers: dict[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("utf-8", "replace")
