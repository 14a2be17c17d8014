from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trackflowd.tail import Tail, Watcher


class Slow:
    """Takes as many rows as it has room for."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.rows: list[Mapping[str, Any]] = []

    def __call__(self, row: Mapping[str, Any]) -> bool:
        if self.room <= 0:
            return False
        self.room -= 1
        self.rows.append(row)
        return True


def test_workers_are_told_by_the_first_who_comes_and_the_last_who_goes() -> None:
    said: list[bool] = []
    tail = Tail(lambda: said.append(tail.on))
    one, two = Watcher("", "", Slow(9)), Watcher("", "", Slow(9))
    tail.add(one)
    tail.add(two)
    tail.remove(one)
    tail.remove(one)
    tail.remove(two)
    assert said == [True, False]


def test_a_watcher_gets_what_it_asked_for_only() -> None:
    got = Slow(9)
    tail = Tail(lambda: None)
    tail.add(Watcher("shop", "buy", got))
    rows = [{"site": site, "name": name} for site in ("shop", "blog") for name in ("buy", "pageview")]
    tail.offer(rows)
    assert got.rows == [{"site": "shop", "name": "buy"}]


def test_a_slow_watcher_loses_rows_with_a_count_and_holds_nobody_up() -> None:
    slow, quick = Slow(1), Slow(99)
    tail = Tail(lambda: None)
    tail.add(Watcher("", "", slow))
    tail.add(Watcher("", "", quick))
    rows = [{"n": n} for n in range(6)]
    tail.offer(rows[:4])
    slow.room = 2
    tail.offer(rows[4:])
    assert quick.rows == rows
    assert slow.rows == [{"n": 0}, {"dropped": 3}, {"n": 4}]
    slow.room = 9
    tail.offer([{"n": 6}])
    assert slow.rows[3:] == [{"dropped": 1}, {"n": 6}]
