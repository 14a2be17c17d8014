"""console.dialog: a notice, a question, a line to type."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.console_values import attr_of, texts
from trackflowd.console.dialog import Dialog, Notice, Prompt, Question, refused
from trackflowd.console.lines import Segment, columns_of
from trackflowd.errors import ControlError


def box(dialog: Dialog, columns: int = 80, rows: int = 24) -> list[str]:
    lines = dialog.draw(columns, rows)
    assert len(lines) <= rows and len({columns_of(line) for line in lines}) == 1
    return texts(lines)


@pytest.mark.parametrize(
    ("keys", "grave", "done", "yes"),
    [
        (["y"], False, True, True),
        (["n"], False, True, False),
        (["esc"], False, True, False),
        (["enter"], False, True, True),
        (["enter"], True, True, False),
        (["y"], True, True, True),
        (["right", "enter"], True, True, True),
        (["right", "enter"], False, True, False),
        (["x"], False, False, False),
    ],
)
def test_a_question_is_answered(keys: Sequence[str], grave: bool, done: bool, yes: bool) -> None:
    answers: list[bool] = []
    question = Question("Flush?", "It is stored.", "Flush", lambda: answers.append(True), grave)
    for key in keys:
        question.press(key)
    assert (question.done, answers) == (done, [True] if yes else [])


def test_a_question_shows_what_enter_would_do() -> None:
    assert attr_of(Question("?", "x", "Flush", lambda: None).draw(80, 24), " Flush ") == "button on"
    assert attr_of(Question("?", "x", "Drain", lambda: None, grave=True).draw(80, 24), " No ") == "button on"


def test_a_notice_scrolls_and_closes() -> None:
    notice = Notice("Many", lambda columns: [[Segment(f"line {n}")] for n in range(50)])
    assert "line 0" in "\n".join(box(notice)) and "more lines" in "\n".join(box(notice))
    notice.press("end")
    shown = "\n".join(box(notice))
    assert "line 49" in shown and "more lines" not in shown
    notice.press("home")
    assert "line 0" in "\n".join(box(notice)) and not notice.done
    notice.press("esc")
    assert notice.done


def test_an_error_is_shown_with_its_hint() -> None:
    shown = "\n".join(box(refused("Not stored", ControlError("the store is away", "wait for it"))))
    assert "Not stored" in shown and "the store is away" in shown and "wait for it" in shown


def test_a_line_is_typed_and_edited() -> None:
    typed: list[str] = []
    prompt = Prompt("Filter", "words", "ab", (), typed.append)
    for key in ("c", "left", "backspace", "é", " ", "enter"):
        prompt.press(key)
    assert (typed, prompt.done) == (["aé c"], True)


def test_a_long_line_stays_in_its_box() -> None:
    prompt = Prompt("Filter", "words", "x" * 300 + "end", (), lambda text: None)
    assert "end" in "\n".join(box(prompt))


def test_an_option_is_chosen_with_the_arrows() -> None:
    chosen: list[str] = []
    prompt = Prompt("Since", "how far", "10m", [f"{n}h" for n in range(30)], chosen.append)
    for _ in range(25):
        prompt.press("down")
    shown = prompt.draw(80, 24)
    assert attr_of(shown, "  24h") == "select"
    prompt.press("enter")
    assert chosen == ["24h"]


def test_an_option_is_clicked() -> None:
    chosen: list[str] = []
    prompt = Prompt("Since", "how far", "", ("10m", "1h"), chosen.append)
    prompt.press("option 1")
    prompt.press("enter")
    assert chosen == ["1h"]


def test_escape_takes_nothing() -> None:
    taken: list[str] = []
    prompt = Prompt("Since", "how far", "10m", (), taken.append)
    prompt.press("esc")
    assert (taken, prompt.done) == ([], True)
