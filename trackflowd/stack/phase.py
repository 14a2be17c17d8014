"""How far a container is, and what that becomes of what the engine reports. No I/O.

::

    pending ──▶ pulling ──▶ starting ──▶ healthy
       ▲           │           │  ▲         │
       │           ▼           ▼  └─────────┤ the engine starts it again
       │         failed ◀───────────────────┤ it is gone, ended, unhealthy
       └───────────┴──────── stopped ◀──────┘ by hand

An ``up`` that was killed leaves a container at pulling or starting; a container may be removed or stopped behind our
back; an engine may end and begin again with what it kept. So what was written down last is only a hint: every command
first asks the engine and takes over what it says.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Phase(enum.StrEnum):
    """How far a container is."""

    PENDING = "pending"
    PULLING = "pulling"
    STARTING = "starting"
    HEALTHY = "healthy"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def up(self) -> bool:
        """It runs, as far as is known, or is about to."""
        return self in (Phase.STARTING, Phase.HEALTHY)


@dataclass(frozen=True, slots=True)
class Seen:
    """A container as the engine reports it.

    Args:
        id: the engine's.
        mark: ``Container.mark`` it was made with.
        status: created, running, paused, restarting, removing, exited or dead.
        health: starting, healthy or unhealthy; "": nobody checks.
        exit_code: of its last end.
        restarts: how often the engine has started it again since it was started by hand.
        out_of_memory: its last end was the kernel's doing.
        error: what kept the engine from starting it.
    """

    id: str
    mark: str
    status: str
    health: str = ""
    exit_code: int = 0
    restarts: int = 0
    out_of_memory: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a container's record becomes.

    Args:
        phase: the new one.
        text: why, for its history; "": nothing has changed.
        hint: what to do, where it failed.
    """

    phase: Phase
    text: str = ""
    hint: str = ""


_AGAIN = "trackflow stack up"
#: Ends that somebody asked for: by itself, SIGKILL, SIGTERM. After any other, and after SIGKILL as long as nobody
#: stopped it through the engine, the engine starts it again.
_ASKED = (0, 137, 143)


def judge(name: str, phase: Phase, seen: Seen | None) -> Verdict:
    """What a record becomes.

    Args:
        name: of the container, for hints.
        phase: as written down last.
        seen: what the engine reports; None: it has no such container.
    """
    if seen is None:
        return _absent(phase)
    if seen.status in ("running", "paused"):
        return _running(name, phase, seen)
    if seen.status == "restarting":
        text = f"ended with code {seen.exit_code}; the engine starts it again"
        return Verdict(Phase.STARTING, text if phase is not Phase.STARTING else "")
    if seen.status == "created" and not seen.error:
        if phase in (Phase.PENDING, Phase.PULLING, Phase.STARTING):
            text = "was made and not started: an up ended in between" if phase is not Phase.PENDING else ""
            return Verdict(Phase.PENDING, text)
        return Verdict(phase)
    return _ended(name, phase, seen)


def _absent(phase: Phase) -> Verdict:
    if phase is Phase.PULLING:
        return Verdict(Phase.PENDING, "an up ended while its image was fetched")
    if phase is Phase.STARTING:
        return Verdict(Phase.PENDING, "an up ended before it was made, or it was removed behind our back")
    if phase is Phase.HEALTHY:
        return Verdict(Phase.FAILED, "its container was removed behind our back", f"{_AGAIN} makes it again")
    return Verdict(phase)


def _running(name: str, phase: Phase, seen: Seen) -> Verdict:
    if seen.health == "unhealthy":
        text = "runs, and is not healthy"
        return Verdict(Phase.FAILED, text if phase is not Phase.FAILED else "", f"trackflow stack logs {name} says why")
    now = Phase.STARTING if seen.health == "starting" else Phase.HEALTHY
    if now is phase:
        return Verdict(phase)
    if now is Phase.HEALTHY:
        return Verdict(now, "healthy")
    return Verdict(now, "started again, not by us" if phase is not Phase.PENDING else "started")


def _ended(name: str, phase: Phase, seen: Seen) -> Verdict:
    if phase in (Phase.STOPPED, Phase.FAILED, Phase.PENDING):
        return Verdict(phase)
    if phase is Phase.PULLING:
        return _absent(phase)
    logs = f"trackflow stack logs {name} says why; {_AGAIN} starts it again"
    if seen.error:
        return Verdict(Phase.FAILED, f"could not be started: {seen.error}", logs)
    if seen.out_of_memory:
        return Verdict(Phase.FAILED, "the kernel ended it: out of memory", logs)
    if phase is Phase.HEALTHY and seen.exit_code in _ASKED:
        return Verdict(Phase.STOPPED, f"was stopped behind our back (code {seen.exit_code})")
    return Verdict(Phase.FAILED, f"ended with code {seen.exit_code}", logs)
