"""console.logs: what the daemon's processes say."""

from __future__ import annotations

from typing import Any

from tests.console_values import Answers, attr_of, desk, screen
from trackflowd.console.desk import Console
from trackflowd.errors import ControlError


def line(level: str, text: str) -> dict[str, Any]:
    return {"at_ms": 1_800_000_000_000, "level": level, "process": "flusher", "text": text}


def log(answers: Answers, *items: dict[str, Any]) -> Console:
    console = desk(answers, tab="log")
    for item in items:
        answers.streams[-1].heard(item)
    return console


def test_lines_stand_in_columns_with_the_colour_of_their_level() -> None:
    console = log(Answers(), line("INFO", "started"), line("ERROR", "ring damaged"), line("warning", "odd"))
    shown = screen(console)
    assert [text.split()[1:4] for text in shown if "flusher" in text] == [
        ["info", "flusher", "started"], ["error", "flusher", "ring"], ["warning", "flusher", "odd"],
    ]  # fmt: skip
    lines = console.draw(80, 24)
    assert (attr_of(lines, "ring damaged"), attr_of(lines, "odd   ")) == ("bad", "odd")


def test_a_level_is_chosen_and_the_stream_asked_for_anew() -> None:
    answers = Answers()
    console = log(answers, line("debug", "chatter"))
    assert answers.streams[0].args == {"lines": 500, "follow": True}
    console.press("l")
    assert answers.streams[0].stopped and len(answers.streams) == 2
    for item in (line("debug", "chatter"), line("info", "started")):
        answers.streams[-1].heard(item)
    shown = "\n".join(screen(console))
    assert "from info on" in shown and "started" in shown and "chatter" not in shown


def test_an_older_daemon_has_no_log_to_show() -> None:
    answers = Answers()
    console = log(answers)
    error = ControlError("there is no command 'log'")
    error.code = "unknown_command"
    answers.streams[0].told(error)
    assert "has no command log" in "\n".join(screen(console))
    assert not console.tab.waits


def test_the_daemons_own_level_is_set() -> None:
    answers = Answers(loglevel={"level": "debug"})
    console = log(answers)
    console.press("L")
    for key in ("up", "down", "enter"):  # from the last option on to the first
        console.press(key)
    answers.settle()
    assert answers.asked[-1] == ("loglevel", {"level": "debug"}) and answers.acted[-1]
    assert "the daemon logs from debug on" in "\n".join(screen(console))


def test_who_may_not_set_it_is_told() -> None:
    answers = Answers(loglevel=("not_permitted", "only root may do that", "use sudo"))
    console = log(answers)
    console.press("L")
    console.press("enter")
    answers.settle()
    shown = "\n".join(screen(console))
    assert "only root may do that" in shown and "use sudo" in shown


def test_a_long_line_is_inspected_whole() -> None:
    console = log(Answers(), line("info", "x" * 150))
    console.press("enter")
    assert "\n".join(screen(console)).count("x") >= 150
