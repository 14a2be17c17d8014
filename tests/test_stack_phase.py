"""stack.phase: what a container's record becomes of what the engine reports."""

from __future__ import annotations

import pytest

from trackflowd.stack.phase import Phase, Seen, judge

PENDING, PULLING, STARTING, HEALTHY, FAILED, STOPPED = Phase


def seen(status: str, health: str = "", code: int = 0, *, out_of_memory: bool = False, error: str = "") -> Seen:
    return Seen("id", "mark", status, health, code, out_of_memory=out_of_memory, error=error)


@pytest.mark.parametrize(
    ("phase", "becomes", "words"),
    [
        (PENDING, PENDING, ""),
        (PULLING, PENDING, "an up ended while its image was fetched"),
        (STARTING, PENDING, "an up ended before it was made"),
        (HEALTHY, FAILED, "removed behind our back"),
        (FAILED, FAILED, ""),
        (STOPPED, STOPPED, ""),
    ],
)
def test_a_container_the_engine_does_not_have(phase: Phase, becomes: Phase, words: str) -> None:
    verdict = judge("one", phase, None)
    assert verdict.phase is becomes
    assert words in verdict.text and bool(words) == bool(verdict.text)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize(
    ("health", "becomes"), [("", HEALTHY), ("healthy", HEALTHY), ("starting", STARTING), ("unhealthy", FAILED)]
)
def test_one_that_runs_is_what_the_engine_says_whatever_was_written_down(
    phase: Phase, health: str, becomes: Phase
) -> None:
    verdict = judge("one", phase, seen("running", health))
    assert verdict.phase is becomes
    assert bool(verdict.text) == (phase is not becomes)


@pytest.mark.parametrize(
    ("phase", "found", "becomes", "words"),
    [
        (HEALTHY, seen("exited", code=0), STOPPED, "behind our back"),
        (HEALTHY, seen("exited", code=137), STOPPED, "behind our back"),
        (HEALTHY, seen("exited", code=137, out_of_memory=True), FAILED, "out of memory"),
        (HEALTHY, seen("exited", code=1), FAILED, "ended with code 1"),
        (STARTING, seen("exited", code=0), FAILED, "ended with code 0"),
        (STARTING, seen("created", error="no such file"), FAILED, "could not be started: no such file"),
        (STARTING, seen("created"), PENDING, "made and not started"),
        (PULLING, seen("exited", code=0), PENDING, "while its image was fetched"),
        (PENDING, seen("exited", code=0), PENDING, ""),
        (STOPPED, seen("exited", code=0), STOPPED, ""),
        (FAILED, seen("exited", code=9), FAILED, ""),
        (HEALTHY, seen("restarting", code=4), STARTING, "ended with code 4; the engine starts it again"),
        (STARTING, seen("restarting", code=4), STARTING, ""),
    ],
)
def test_one_that_does_not_run(phase: Phase, found: Seen, becomes: Phase, words: str) -> None:
    verdict = judge("one", phase, found)
    assert verdict.phase is becomes
    assert words in verdict.text and bool(words) == bool(verdict.text)


def test_a_failure_says_what_to_do() -> None:
    for found in (None, seen("running", "unhealthy"), seen("exited", code=1)):
        assert "trackflow stack" in judge("one", HEALTHY, found).hint
