from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackflowd import fleet
from trackflowd.counters import Role
from trackflowd.fleet import NEXT, Action, Event, Phase, Seat, Sight, backoff, deal

STALL = 30.0


def seat(role: Role = "worker", patience: float = STALL) -> Seat:
    return Seat(role, 0, patience)


def phase(watched: Seat) -> Phase:
    return watched.phase


def up(now: float) -> Sight:
    return Sight(now, True)


def started(role: Role = "worker", now: float = 100.0) -> Seat:
    made = seat(role)
    assert made.look(now, None) is Action.START
    made.spawned(now)
    assert made.look(now, up(now)) is None
    assert phase(made) is Phase.READY
    return made


def watch(watched: Seat, begin: float, seconds: float, sight: Sight) -> list[Action]:
    """Look every tenth of a second; what was to be done."""
    actions = []
    for tick in range(int(seconds * 10) + 1):
        if (action := watched.look(begin + tick / 10, sight)) is not None:
            actions.append(action)
    return actions


def test_every_move_is_in_the_table_and_every_phase_is_reached() -> None:
    assert set(NEXT.values()) == set(Phase)
    assert {event for _, event in NEXT} == set(Event)


def test_only_a_seat_without_a_process_can_be_filled() -> None:
    fillable = {phase for phase, event in NEXT if event is Event.SPAWNED}
    assert fillable == {Phase.WAITING}
    assert not fillable & fleet.FILLED
    with pytest.raises(KeyError):
        started().spawned(101)


def test_a_killed_child_keeps_its_seat_until_it_was_reaped() -> None:
    child = started()
    assert watch(child, 100, STALL + 2, up(100)) == [Action.KILL]
    assert phase(child) is Phase.KILLED
    assert watch(child, 133, 600, up(100)) == []
    child.look(734, Sight(100, True, -9))
    assert child.look(734, None) is Action.START


def test_a_silent_child_is_silent_first_and_killed_only_after_its_patience() -> None:
    child = started()
    watch(child, 100, 1.9, up(100))
    assert phase(child) is Phase.READY
    watch(child, 102.0, 0.5, up(100))
    assert phase(child) is Phase.SILENT
    assert watch(child, 102.6, STALL - 2.7, up(100)) == []
    assert watch(child, 100 + STALL, 1, up(100)) == [Action.KILL]


def test_a_child_that_is_heard_again_is_ready_again() -> None:
    child = started()
    watch(child, 100, 10, up(100))
    assert phase(child) is Phase.SILENT
    child.look(110.1, up(110.05))
    assert phase(child) is Phase.READY
    assert child.restarts == 0


def test_a_flusher_inside_an_insert_is_not_silent_as_soon_as_a_worker() -> None:
    child = started("flusher")
    watch(child, 100, 4.9, up(100))
    assert phase(child) is Phase.READY
    watch(child, 105, 0.5, up(100))
    assert phase(child) is Phase.SILENT


@pytest.mark.parametrize("role", ["worker", "flusher"])
def test_a_starting_child_has_longer_than_a_running_one(role: Role) -> None:
    child = seat(role)
    child.spawned(0)
    patience = fleet.START_PATIENCE[role]
    assert watch(child, 0, patience - 1, Sight(0, False)) == []
    assert watch(child, patience - 0.9, 2, Sight(0, False)) == [Action.KILL]


def test_a_patience_above_the_allowance_for_starting_is_kept() -> None:
    child = seat(patience=100.0)
    child.spawned(0)
    assert watch(child, 0, 99, Sight(0, False)) == []


def test_silence_of_everybody_while_the_supervisor_itself_was_stopped_is_nobodys_fault() -> None:
    child = started()
    assert child.look(100 + 3600, up(100)) is None
    assert phase(child) is Phase.READY
    assert watch(child, 3700, STALL + 1, up(100)) == [Action.KILL]


def test_the_first_replacement_comes_at_once_and_later_ones_wait_longer_up_to_the_most() -> None:
    waits = [backoff(n) for n in range(12)]
    assert waits[:4] == [0.0, 0.1, 0.2, 0.4]
    assert waits[-1] == 10.0
    assert backoff(10_000) == 10.0
    assert all(a <= b for a, b in itertools.pairwise(waits))


def test_a_child_that_dies_at_once_again_and_again_waits_out_its_backoff() -> None:
    child = seat()
    now, waits = 0.0, []
    for _ in range(5):
        child.spawned(now)
        child.look(now, Sight(0, False, 1))
        waits.append(round(child.due - now, 3))
        assert waits[-1] == 0 or child.look(now, None) is None
        now = child.due
        assert child.look(now, None) is Action.START
    assert waits == [0, 0.1, 0.2, 0.4, 0.8]
    assert child.restarts == 5


def test_only_a_child_that_ended_by_itself_before_any_was_ready_failed_to_start() -> None:
    child = seat()
    for code, failed in ((-9, 0), (1, 1), (-11, 2), (-9, 2)):
        child.spawned(0.0)
        child.look(0.0, Sight(0, False, code))
        assert child.failed_starts == failed
    child.spawned(0.0)
    child.look(0.0, Sight(0, True))
    child.look(0.0, Sight(0, True, 1))
    assert child.failed_starts == 2
    assert child.restarts == 5


def test_a_stable_run_makes_the_backoff_start_anew() -> None:
    child = seat()
    for _ in range(6):
        child.spawned(0)
        child.look(0, Sight(0, False, 1))
    child.spawned(10)
    child.look(10 + fleet.STABLE, Sight(0, True, -9))
    assert child.due == 10 + fleet.STABLE


def test_a_retired_worker_is_not_replaced_however_it_ends() -> None:
    for code in (0, 1, -9):
        child = started()
        child.retire()
        child.look(101, Sight(101, True, code))
        assert phase(child) is Phase.ENDED
        assert child.look(500, None) is None


def test_a_retired_worker_that_has_no_process_ends_there() -> None:
    child = seat()
    child.retire()
    assert phase(child) is Phase.ENDED


def test_a_retired_worker_that_is_taken_back_is_replaced_when_it_ends() -> None:
    child = started()
    child.retire()
    child.take_back()
    child.look(101, Sight(101, True, 0))
    assert phase(child) is Phase.WAITING
    assert child.look(101, None) is Action.START


def test_a_retired_flusher_is_replaced_until_it_has_stored_everything() -> None:
    child = started("flusher")
    child.retire()
    child.look(101, Sight(101, True, -9))
    assert child.look(101, None) is Action.START
    child.spawned(101)
    child.look(102, Sight(102, True, 0))
    assert phase(child) is Phase.ENDED


def test_a_child_that_ends_with_code_0_unasked_is_replaced() -> None:
    child = started("flusher")
    child.look(101, Sight(101, True, 0))
    assert child.look(101, None) is Action.START


def test_each_listener_is_at_home_when_everybody_serves() -> None:
    assert deal([None] * 4, 4, [0, 1, 2, 3]) == [0, 1, 2, 3]
    assert deal([None] * 4, 2, [0, 1]) == [0, 1, 0, 1]


def test_the_share_of_a_dead_worker_is_dealt_and_given_back() -> None:
    dealt = deal([0, 1, 2, 3], 4, [0, 2, 3])
    assert dealt == [0, 0, 2, 3]
    assert deal(dealt, 4, [0, 1, 2, 3]) == [0, 1, 2, 3]


def test_nobody_serving_leaves_every_listener_alone() -> None:
    assert deal([0, 1], 2, []) == [None, None]


def test_a_dealt_listener_stays_while_others_come_and_go() -> None:
    assert deal([2, 1, 2, 3], 4, [1, 2, 3]) == [2, 1, 2, 3]
    assert deal([2, 1, 2, 3], 4, [2, 3]) == [2, 3, 2, 3]


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)), st.integers(1, 3))))
def test_every_listener_is_served_by_one_that_serves_and_evenly(case: tuple[int, set[int], int]) -> None:
    workers, serving, addresses = case
    dealt = deal([None] * (workers * addresses), workers, sorted(serving))
    assert set(dealt) == (set[int | None](serving) or {None})
    counts = [dealt.count(slot) for slot in serving]
    assert not counts or max(counts) - min(counts) <= addresses


@given(st.lists(st.sampled_from(["tick", "beat", "die", "retire"]), max_size=60))
def test_no_story_starts_a_second_child_while_one_lives(story: list[str]) -> None:
    child, now, alive, beat = seat(), 0.0, False, 0.0
    for step in story:
        now += 1.5
        if step == "beat" and alive:
            beat = now
        if step == "retire":
            child.retire()
        sight = Sight(beat, beat > 0, -9 if step == "die" else None) if alive else None
        if step == "die":
            alive = False
        action = child.look(now, sight)
        if action is Action.START:
            assert not alive
            child.spawned(now)
            alive, beat = True, 0.0
        assert (child.phase in fleet.FILLED) == alive


def test_a_seat_is_stuck_when_nobody_looks_starts_or_reaps_and_not_while_the_policy_runs() -> None:
    late = fleet.STUCK + 0.1
    working = started(now=100.0)
    assert not working.stuck(100.0 + fleet.STUCK)
    assert working.stuck(100.0 + late)

    waiting = seat()
    waiting.due = 100.0
    assert not waiting.stuck(100.0 + fleet.STUCK)
    assert waiting.stuck(100.0 + late)

    hung = started(now=100.0)
    looks = [hung.look(100.0 + tick / 10, up(100.0)) for tick in range(1, 400)]
    assert Action.KILL in looks
    assert phase(hung) is Phase.KILLED
    assert not hung.stuck(131.0)
    assert hung.stuck(131.0 + late)  # it was sent SIGKILL 30.1 s after its last sign, and is still there
    hung.look(170.0, Sight(0.0, False, -9))
    assert not hung.stuck(170.0)
