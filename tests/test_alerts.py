"""trackflowd.alerts: from findings to alerts that begin, get worse and end."""

from __future__ import annotations

from trackflowd.alerts import LINGER, LOOP_SECONDS, TOLD_FOR, Child, Figures, Finding, Past, Rule, Watch

#: 2026-11-28, ms.
START = 1_795_000_000_000


class Story:
    """A watch with one rule that finds what the test says, and a clock that the test moves."""

    def __init__(self, after: float = 0.0) -> None:
        self.finds: Finding | None = None
        self.watch = Watch([Rule("r", after, lambda past: self.finds)])
        self.now = 0.0

    def look(self, seconds: float, severity: str = "") -> list[tuple[str, str]]:
        """After so many seconds; what changed."""
        self.now += seconds
        self.finds = Finding(severity, f"at {self.now:g}", "do") if severity else None  # type: ignore[arg-type]
        changes = self.watch.note(Figures(START + int(self.now * 1000), self.now))
        return [(change.what, change.alert.text) for change in changes]


def test_an_alert_begins_at_once_says_what_is_now_and_ends_when_it_is_gone_for_a_while() -> None:
    story = Story()
    assert story.look(1, "warning") == [("begin", "at 1")]
    assert story.look(1, "warning") == []
    (alert,) = story.watch.alerts
    assert alert.as_dict() == {
        "name": "r", "severity": "warning", "since_ms": START + 1000, "text": "at 2", "hint": "do",
    }  # fmt: skip
    assert story.look(LINGER - 1) == []
    assert story.watch.alerts
    assert story.look(1) == [("end", "at 2")]
    assert story.watch.alerts == []


def test_what_flickers_is_one_alert() -> None:
    story = Story()
    changes = [change for _ in range(20) for change in story.look(1, "warning") + story.look(1)]
    assert changes == [("begin", "at 1")]


def test_it_may_have_to_hold_for_a_while_and_is_then_as_old_as_what_it_is_about() -> None:
    story = Story(after=10)
    assert story.look(1, "warning") == story.look(9, "warning") == []
    assert story.look(1, "warning") == [("begin", "at 11")]
    assert story.watch.alerts[0].since_ms == START + 1000
    story = Story(after=10)
    assert [story.look(6, "warning") if n % 2 else story.look(6) for n in range(10)] == [[]] * 10


def test_getting_worse_is_told_once_and_getting_better_is_not() -> None:
    story = Story()
    story.look(1, "warning")
    assert story.look(1, "critical") == [("worse", "at 2")]
    assert story.look(1, "critical") == story.look(1, "warning") == []
    assert story.watch.alerts[0].severity == "warning"
    assert story.look(1, "critical") == [("worse", "at 5")]


def test_the_worst_and_then_the_oldest_comes_first() -> None:
    found = {"a": Finding("warning", "", ""), "b": Finding("critical", "", ""), "c": Finding("warning", "", "")}
    rules = [Rule(name, 0.0, lambda past, name=name: found.get(name)) for name in "abc"]  # type: ignore[misc]
    watch = Watch(rules)
    later = found.pop("a")
    watch.note(Figures(START, 0.0))
    found["a"] = later
    watch.note(Figures(START + 1000, 1.0))
    assert [alert.name for alert in watch.alerts] == ["b", "c", "a"]


def test_growth_is_told_of_for_a_while_and_a_first_figure_is_growth() -> None:
    past = Past()
    past.note(Figures(START, 0.0, counts={"x": 3}))
    assert past.grown("x") == 3 and past.grown("y") == 0
    past.note(Figures(START, 100.0, counts={"x": 5}))
    assert past.grown("x") == 5
    past.note(Figures(START, 200.0, counts={"x": 5}))
    assert past.grown("x", 60.0) == 0 and past.grown("x") == 5
    past.note(Figures(START, 100.0 + TOLD_FOR + 1, counts={"x": 5}))
    assert past.grown("x") == 0
    past.note(Figures(START, 101.0 + 2 * TOLD_FOR, counts={"x": 6}))
    assert past.grown("x") == 1


def test_a_clock_that_is_set_is_seen_and_one_that_drifts_is_not() -> None:
    past = Past()
    for second in range(1000):
        past.note(Figures(START + second * 1100, float(second)))
    assert not past.jumped
    past.note(Figures(START + 1_099_900 - 3_600_000, 1000.0))
    assert past.jumped and round(past.jump) == -3600
    past.note(Figures(START + 1_099_900 - 3_600_000 + 601_000, 1601.0))
    assert not past.jumped


def test_restarts_close_together_are_a_loop() -> None:
    past = Past()
    for minute, restarts in enumerate([0, 1, 2, 2, 3]):
        assert past.loops() == []
        past.note(Figures(START, minute * 60.0, [Child("worker 0", "worker", "ready", restarts)]))
    assert past.loops() == [("worker 0", 3)]
    past.note(Figures(START, 60.0 + LOOP_SECONDS + 1, [Child("worker 0", "worker", "ready", 3)]))
    assert past.loops() == []
