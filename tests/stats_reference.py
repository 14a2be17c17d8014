"""The statistics once more, slow and plain: loops over a list of events, nothing shared with ``trackflowd.stats``.

docs/statistics.md in another language: where the two differ, one of them is wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Event = dict[str, Any]
Row = dict[str, Any]
Test = Callable[[Event], bool]

GAP_MS = 30 * 60_000
LOOK_BACK_MS = 4 * 3_600_000
LATE_MS = 7 * 86_400_000


def _always(event: Event) -> bool:
    return True


@dataclass
class Question:
    """What is asked.

    Args:
        start, end: ms.
        site: "" for all.
        passes: what an event has to be.
        begins: what the first event of its visit has to be.
        bots: count them too.
    """

    start: int
    end: int
    site: str = ""
    passes: Test = _always
    begins: Test = _always
    bots: bool = False


class Reference:
    """Answers to one question.

    Attributes:
        kept: events of the period that count.
        visits: those that began in the period and count, whole.
    """

    def __init__(self, events: Iterable[Event], question: Question) -> None:
        q = self.question = question
        seen = [
            event
            for event in events
            if max(q.start - LOOK_BACK_MS, 0) <= event["time"] < q.end
            and max(q.start - LOOK_BACK_MS, 0) <= event["received"] < q.end + LATE_MS
            and q.site in ("", event["site"])
            and (q.bots or not event["bot"])
        ]
        self.kept: list[Event] = []
        self.visits: list[list[Event]] = []
        for visit in visits_of(seen):
            first_ms = visit[0]["time"]
            if not any(q.begins(event) for event in visit if event["time"] == first_ms):
                continue
            passing = [event for event in visit if q.passes(event)]
            # A visit that is under way as the period begins: what was received before it is not of the period.
            self.kept += [event for event in passing if event["time"] >= q.start and event["received"] >= q.start]
            if first_ms >= q.start and passing:
                self.visits.append(visit)

    def totals(self) -> Row:
        bounces = sum(is_bounce(visit) for visit in self.visits)
        return {
            **figures(self.kept, "visitors"),
            "visits": len(self.visits),
            **figures(self.kept, "views", "events"),
            "bounce_rate": over(bounces, len(self.visits), 4),
            "visit_seconds": over(sum(map(length, self.visits)), len(self.visits), 1, 1000),
            "engaged_seconds": over(sum(e["engaged_ms"] for e in self.kept), len(self.visits), 1, 1000),
        }

    def series(self, starts: Sequence[int]) -> list[Row]:
        """Figures of the spans that begin so, the last until the period's end."""
        rows = []
        for start, end in zip(starts, [*starts[1:], self.question.end], strict=True):
            kept = [event for event in self.kept if start <= event["time"] < end]
            visits = [visit for visit in self.visits if start <= visit[0]["time"] < end]
            rows.append({**figures(kept, "visitors"), "visits": len(visits), **figures(kept, "views", "events")})
        return rows

    def pages(self) -> list[Row]:
        rows = []
        for page, events in grouped((e for e in self.kept if e["path"]), lambda e: e["path"]).items():
            depths = [max(e["scroll"] for e in group) for group in grouped(events, who).values()]
            told = [depth for depth in depths if depth]
            row = {"page": page, **figures(events, "visitors", "views")}
            row["engaged_seconds"] = over(sum(e["engaged_ms"] for e in events), row["views"], 1, 1000)
            row["scroll"] = over(sum(told), len(told), 1)
            rows.append(row)
        return ordered(rows, "visitors", "views")

    def of_visits(self, label: str, of: Callable[[list[Event]], str | None]) -> list[Row]:
        """Rows by what a function says of each visit; None leaves the visit out."""
        rows = []
        for text, visits in grouped(self.visits, of).items():
            if text is None:
                continue
            rows.append(
                {
                    label: text,
                    "visits": len(visits),
                    "visitors": len({who(visit[0]) for visit in visits}),
                    "views": sum(is_view(event) for visit in visits for event in visit),
                    "bounce_rate": over(sum(map(is_bounce, visits)), len(visits), 4),
                    "visit_seconds": over(sum(map(length, visits)), len(visits), 1, 1000),
                }
            )
        return ordered(rows, "visits", "visitors", "views")

    def of_events(self, *labels: str) -> list[Row]:
        rows = []
        for texts, events in grouped(self.kept, lambda e: tuple(e[label] for label in labels)).items():
            rows.append({**dict(zip(labels, texts, strict=True)), **figures(events, "visitors", "views", "events")})
        return ordered(rows, "visitors", "views", "events")

    def events(self) -> list[Row]:
        own = [event for event in self.kept if is_own(event)]
        rows = [
            {"event": name, "events": len(group), **figures(group, "visitors")}
            for name, group in grouped(own, lambda e: e["name"]).items()
        ]
        return ordered(rows, "events", "visitors")

    def properties(self) -> list[Row]:
        found: dict[str, list[tuple[str, Event]]] = defaultdict(list)
        for event in self.kept:
            for key, value in event["props"].items() if event["name"] != "leave" else ():
                found[key].append((value, event))
        rows = [
            {
                "property": key,
                "events": len(pairs),
                **figures([event for _, event in pairs], "visitors"),
                "values": len({value for value, _ in pairs}),
            }
            for key, pairs in found.items()
        ]
        return ordered(rows, "events", "visitors")

    def values(self, key: str) -> list[Row]:
        having = [event for event in self.kept if key in event["props"] and event["name"] != "leave"]
        rows = [
            {"value": value, "events": len(group), **figures(group, "visitors")}
            for value, group in grouped(having, lambda e: e["props"][key]).items()
        ]
        return ordered(rows, "events", "visitors")

    def revenue(self) -> list[Row]:
        rows = []
        for currency, events in grouped((e for e in self.kept if e["revenue"]), lambda e: e["currency"]).items():
            amount = sum(event["revenue"] for event in events)
            rows.append(
                {
                    "currency": currency,
                    "orders": len(events),
                    "buyers": len({who(event) for event in events}),
                    "revenue": over(amount, 1, 4, 10_000),
                    "average": over(amount, len(events), 4, 10_000),
                }
            )
        return ordered(rows, "orders", "buyers")

    def funnel(self, steps: Sequence[Test], window_ms: int) -> list[int]:
        """Visitors who came so far, by trying every beginning."""
        reached = [0] * len(steps)
        for events in grouped((e for e in self.kept if e["name"] != "leave"), who).values():
            for step in range(farthest(events, steps, window_ms)):
                reached[step] += 1
        return reached

    def retention(self, starts: Sequence[int]) -> list[Row]:
        """Of each span that begins so: people first seen there, and how many were seen in the ones after."""

        def span(event: Event) -> int:
            return sum(int(start <= event["time"]) for start in starts) - 1

        spans = {
            person: {span(event) for event in events}
            for person, events in grouped(
                (e for e in self.kept if e["user_id"]), lambda e: (e["site"], e["user_id"])
            ).items()
        }
        rows = []
        for number in range(len(starts)):
            people = [seen for seen in spans.values() if min(seen) == number]
            for after in range(len(starts) - number if people else 0):
                again = sum(number + after in seen for seen in people)
                rate = over(again, len(people), 4)
                rows.append({"people": len(people), "after": after, "seen": again, "rate": rate})
        return rows


def visits_of(events: Iterable[Event]) -> list[list[Event]]:
    """Visits, the events of each by time."""
    found: list[list[Event]] = []
    for group in grouped(events, who).values():
        before = None
        for event in sorted(group, key=lambda e: int(e["time"])):
            if before is None or event["time"] - before >= GAP_MS:
                found.append([])
            found[-1].append(event)
            before = event["time"]
    return found


def farthest(events: Sequence[Event], steps: Sequence[Test], window_ms: int) -> int:
    """Steps taken in order, each later than the one before, within the window of the first, from the best beginning."""
    best: int = 0
    for first in (event for event in events if steps[0](event)):
        at: int = first["time"]
        taken = 1
        for step in steps[1:]:
            later = [e["time"] for e in events if at < e["time"] <= first["time"] + window_ms and step(e)]
            if not later:
                break
            at, taken = min(later), taken + 1
        best = max(best, taken)
    return best


def first_of(field: str) -> Callable[[list[Event]], str]:
    """What the first event of a visit has; of several at the same instant, the first in the alphabet, if not empty."""
    return lambda visit: min((e[field] for e in visit if e["time"] == visit[0]["time"]), key=lambda s: (not s, s))


def entry(visit: list[Event]) -> str | None:
    """Path of its first page view."""
    views = [event for event in visit if is_view(event)]
    return min(e["path"] for e in views if e["time"] == views[0]["time"]) if views else None


def exit_(visit: list[Event]) -> str | None:
    """Path of its last page view."""
    views = [event for event in visit if is_view(event)]
    return max(e["path"] for e in views if e["time"] == views[-1]["time"]) if views else None


def who(event: Event) -> Hashable:
    return event["site"], event["visitor"]


def is_view(event: Event) -> bool:
    return bool(event["name"] == "pageview")


def is_own(event: Event) -> bool:
    return event["name"] not in ("pageview", "leave")


def is_bounce(visit: list[Event]) -> bool:
    return sum(map(is_view, visit)) == 1 and not any(map(is_own, visit))


def length(visit: list[Event]) -> int:
    return int(visit[-1]["time"] - visit[0]["time"])


def figures(events: Sequence[Event], *names: str) -> Row:
    found = {
        "visitors": len({who(event) for event in events}),
        "views": sum(map(is_view, events)),
        "events": sum(map(is_own, events)),
    }
    return {name: found[name] for name in names}


def over(number: int, by: int, digits: int, unit: int = 1) -> float | None:
    return round(number / (by * unit), digits) if by else None


def grouped(items: Iterable[Any], key: Callable[[Any], Any]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return found


def ordered(rows: list[Row], *falling: str) -> list[Row]:
    """By these numbers, the greatest first; of equal ones the texts in the order of their bytes."""
    return sorted(
        rows,
        key=lambda row: (
            [-row[name] for name in falling],
            [value.encode() for value in row.values() if isinstance(value, str)],
        ),
    )
