"""console.roll: the newest of what comes in, followed, held, filtered, walked through."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from trackflowd.console.roll import KEPT, Roll


def roll(*items: str) -> Roll[str]:
    made: Roll[str] = Roll(str.lower, lambda word, text, item: word in text)
    for item in items:
        made.offer(item)
    made.settle()
    return made


def shown(one: Roll[str], rows: int) -> list[str]:
    return [entry.item for entry in one.window(rows)]


def test_it_follows_the_newest() -> None:
    one = roll(*"abcde")
    assert shown(one, 3) == ["c", "d", "e"]
    one.offer("f")
    assert one.settle()
    assert not one.settle()
    assert shown(one, 3) == ["d", "e", "f"]


def test_what_is_held_stands_still_and_what_came_is_counted() -> None:
    one = roll(*"abc")
    one.hold()
    one.offer("d")
    one.settle()
    assert (shown(one, 3), one.unseen) == (["a", "b", "c"], 1)
    one.release()
    assert (shown(one, 3), one.unseen) == (["b", "c", "d"], 0)


def test_the_cursor_starts_at_the_newest_and_takes_the_window_with_it() -> None:
    one = roll(*"abcdef")
    one.move(-1)
    assert (one.selected(), shown(one, 3), one.held) == ("f", ["d", "e", "f"], True)
    one.move(-4)
    assert (one.selected(), shown(one, 3)) == ("b", ["b", "c", "d"])
    one.move(1)
    assert (one.selected(), shown(one, 3)) == ("c", ["b", "c", "d"])
    one.move(-100)
    assert (one.selected(), shown(one, 3)) == ("a", ["a", "b", "c"])
    one.move(100)
    assert (one.selected(), shown(one, 3)) == ("f", ["d", "e", "f"])


def test_a_filter_shows_what_has_every_word() -> None:
    one = roll("Red apple", "red cherry", "green apple")
    one.set_filter("RED app")
    assert (shown(one, 5), one.filter) == (["Red apple"], "red app")
    one.offer("dark red apple")
    one.settle()
    assert shown(one, 5) == ["Red apple", "dark red apple"]
    one.set_filter("")
    assert len(shown(one, 5)) == 4


def test_only_the_newest_are_kept() -> None:
    one = roll(*map(str, range(KEPT + 5)))
    assert shown(one, KEPT * 2)[0] == "5"


def test_a_cursor_whose_item_is_filtered_away_goes_to_the_nearest() -> None:
    one = roll("a1", "b", "a2")
    one.select(2)
    one.set_filter("a")
    assert one.selected() is None
    one.select(2)
    assert one.selected() in ("a1", "a2")


def test_nothing_can_be_selected_of_nothing() -> None:
    one = roll()
    one.move(-1)
    assert one.selected() is None
    assert shown(one, 3) == []


@given(st.integers(0, 40), st.integers(1, 12), st.lists(st.integers(-15, 15), max_size=8))
def test_the_cursor_is_always_on_the_screen(count: int, rows: int, moves: list[int]) -> None:
    one = roll(*map(str, range(count)))
    for by in moves:
        one.move(by)
        window = shown(one, rows)
        assert len(window) == min(rows, count)
        assert not count or one.selected() in window


def test_items_may_be_offered_by_another_thread() -> None:
    one = roll()

    def offer() -> None:
        for n in range(500):
            one.offer(str(n))

    thread = threading.Thread(target=offer)
    thread.start()
    while thread.is_alive():
        one.settle()
    one.settle()
    assert shown(one, 500) == [str(n) for n in range(500)]
