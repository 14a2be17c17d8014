"""unit: what makes the watchdog's sign; the rest is in tests/process/test_service.py."""

from __future__ import annotations

from trackflowd.fleet import START_PATIENCE, Seat, Sight
from trackflowd.unit import moving


def test_a_child_that_is_replaced_in_time_moves_and_one_that_cannot_be_does_not() -> None:
    seats = [Seat("worker", 0, 30.0), Seat("worker", 1, 30.0), Seat("flusher", 0, 30.0)]
    assert moving(seats, 30.0)  # nobody sits there yet: they are about to be started
    worker = seats[0]
    worker.spawned(100.0)
    second = 100
    while second < 100 + START_PATIENCE["worker"] + 5:  # killed meanwhile, and not yet gone
        worker.look(float(second), Sight(0.0, False))
        second += 1
    assert moving(seats, 30.0)
    while second < 100 + 2 * START_PATIENCE["worker"] + 5:  # a process that even SIGKILL does not end
        worker.look(float(second), Sight(0.0, False))
        second += 1
    assert not moving(seats, 30.0)
    worker.look(float(second), Sight(0.0, False, -9))
    assert moving(seats, 30.0)
