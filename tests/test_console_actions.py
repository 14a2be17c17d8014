"""console.actions: keys that change what the daemon does ask first and show what came of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.console_values import Answers, desk, screen, status
from trackflowd.console import actions
from trackflowd.console.desk import Console

DENIED = ("not_permitted", "pause: only root or the daemon's user may do that", "sudo trackflow pause")


def press(console: Console, answers: Answers, *keys: str) -> str:
    for key in keys:
        console.press(key)
        answers.settle()
    return "\n".join(screen(console))


@pytest.mark.parametrize(
    ("keys", "command", "args", "value", "told"),
    [
        (
            "Fy",
            "flush",
            {"wait": 10},
            {"stored": True, "left": 0, "spooled": 0, "seconds": 0.3},
            "all stored, after 300 ms",
        ),
        (
            "Fy",
            "flush",
            {"wait": 10},
            {"stored": False, "left": 2048, "spooled": 3, "seconds": 9},
            "3 batches in the spool",
        ),
        ("Py", "pause", {}, {"paused": True}, "paused: nothing goes to the store"),
        ("Dy", "drain", {}, {"paused": False}, "the daemon ends once everything is stored"),
        ("Dy", "drain", {}, {"paused": True}, "what is not stored yet stays for the next start"),
    ],
)
def test_it_is_done_after_yes(keys: str, command: str, args: dict[str, Any], value: Any, told: str) -> None:
    answers = Answers(**{command: value})
    console = desk(answers)
    asked = press(console, answers, keys[0])
    assert "?" in asked and answers.asked == []
    assert told in press(console, answers, keys[1])
    assert answers.asked == [(command, args)] and answers.acted == [True]


@pytest.mark.parametrize("key", "FPDY")
def test_nothing_is_done_after_no(key: str) -> None:
    answers = Answers()
    console = desk(answers)
    press(console, answers, key, "esc", key, "esc")
    assert answers.asked == []


def test_a_drain_is_not_begun_by_enter_alone() -> None:
    answers = Answers(drain=None)
    press(desk(answers), answers, "D", "enter")
    assert answers.asked == []


@pytest.mark.parametrize(("paused", "rest"), [(False, "stores everything"), (True, "it is paused")])
def test_before_a_drain_is_said_what_becomes_of_the_rest(paused: bool, rest: str) -> None:
    answers = Answers()
    assert rest in press(desk(answers, status(sink={"paused": paused})), answers, "D")


def test_what_is_paused_is_resumed_by_the_same_key() -> None:
    answers = Answers(resume={"paused": False})
    console = desk(answers, status(sink={"paused": True}))
    assert "P resume" in screen(console, 160, 40)[-1]
    assert "resumed" in press(console, answers, "P", "y")
    assert answers.asked == [("resume", {})]


def test_who_may_not_is_told_in_the_daemons_words() -> None:
    answers = Answers(pause=DENIED)
    shown = press(desk(answers), answers, "P", "y")
    assert "Not paused" in shown and DENIED[1] in shown and DENIED[2] in shown


def test_an_older_daemon_does_not_know_the_command() -> None:
    answers = Answers()
    assert "older version, has no command pause" in press(desk(answers), answers, "P", "y")


def test_a_replay_asks_how_far_back() -> None:
    answers = Answers(replay={"id": 12})
    console = desk(answers)
    assert "10m" in press(console, answers, "Y")
    assert "last 1 h 0 m" in press(console, answers, "down", "down", "down", "enter")
    assert "task 12 is begun" in press(console, answers, "y")
    assert answers.asked == [("replay", {"since": 3600.0})]


def test_a_span_that_is_none_is_not_taken() -> None:
    answers = Answers()
    console = desk(answers)
    press(console, answers, "Y", "ctrl u", "x", "enter")
    assert "'x'" in screen(console)[-1] and answers.asked == []


CHANGED = {
    "changed": [
        {"key": "batch.max_age", "old": "1s", "new": "2s"},
        {"key": "http.listen", "old": "a", "new": "b"},
    ],
    "restart": ["http.listen"],
}


def test_a_reload_shows_what_would_change_then_asks() -> None:
    answers = Answers(reload=lambda dry_run: {**CHANGED, "applied": not dry_run})
    console = desk(answers)
    shown = press(console, answers, "R")
    for text in ("Reload?", "batch.max_age", "1s", "2s", "needs a restart"):
        assert text in shown, text
    assert answers.asked == [("reload", {"dry_run": True})]
    assert "Reloaded" in press(console, answers, "y")
    assert answers.asked[1:] == [("reload", {"dry_run": False})]


def test_a_reload_without_changes_says_so() -> None:
    answers = Answers(reload={"changed": [], "restart": [], "applied": False})
    assert "in effect already" in press(desk(answers), answers, "R")


def test_a_wrong_configuration_is_said_and_nothing_asked() -> None:
    answers = Answers(reload=("config", "line 3: batch.max_age: must be above 0", "mend it"))
    shown = press(desk(answers), answers, "R")
    assert "nothing is changed" in shown and "line 3" in shown


def test_every_key_of_the_table_begins_something() -> None:
    assert {key.key for key in actions.KEYS} == set(actions._BEGIN)
    assert not actions.start(desk(Answers()), "x")
