"""trackflowd.deadlines: the wheel, beside a model that looks at every item every time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trackflowd.deadlines import Wheel


class Item:
    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.slot = -1


def test_an_item_expires_once_within_a_step_of_its_deadline() -> None:
    wheel: Wheel[Item] = Wheel(100.0, step=0.1)
    item = Item(101.0)
    wheel.place(item)
    assert wheel.expire(100.95) == []
    assert wheel.expire(101.2) == [item]
    assert wheel.expire(200.0) == []


def test_a_deadline_put_off_costs_nothing_and_is_kept() -> None:
    wheel: Wheel[Item] = Wheel(100.0)
    item = Item(101.0)
    wheel.place(item)
    item.deadline = 175.0
    assert wheel.expire(102.0) == []
    assert wheel.expire(174.9) == []
    assert wheel.expire(175.2) == [item]


def test_a_deadline_that_comes_nearer_is_kept_when_placed() -> None:
    wheel: Wheel[Item] = Wheel(100.0)
    item = Item(175.0)
    wheel.place(item)
    item.deadline = 101.0
    wheel.place(item)
    assert wheel.expire(101.2) == [item]


def test_what_is_forgotten_does_not_expire() -> None:
    wheel: Wheel[Item] = Wheel(100.0)
    item, other = Item(101.0), Item(101.0)
    wheel.place(item)
    wheel.place(other)
    wheel.forget(item)
    wheel.forget(item)
    other.deadline = 0.0
    assert wheel.expire(300.0) == []


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.floats(0.01, 30), st.booleans(), st.floats(0, 5)),
        max_size=40,
    )
)
def test_it_does_what_looking_at_everything_would_do(steps: list[tuple[int, float, bool, float]]) -> None:
    now = 50.0
    wheel: Wheel[Item] = Wheel(now, step=0.1, slots=16)
    items = [Item(0.0) for _ in range(10)]
    waiting: set[Item] = set()
    for index, seconds, nearer, passed in steps:
        item = items[index]
        deadline = now + seconds
        if nearer or item not in waiting:
            item.deadline = deadline
            wheel.place(item)
            waiting.add(item)
        else:
            item.deadline = max(item.deadline, deadline)
        now += passed
        gone = set(wheel.expire(now))
        assert all(item.deadline <= now for item in gone)
        waiting -= gone
        assert all(item.deadline > now - 0.2 for item in waiting)
