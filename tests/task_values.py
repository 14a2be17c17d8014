"""Tasks as the control socket gives them, for tests of the tools that show them."""

from __future__ import annotations

from typing import Any

#: 2026-11-24 12:00:00 UTC.
NOON = 1_795_521_600_000


def task(number: int = 7, state: str = "done", **changed: Any) -> dict[str, Any]:
    """A replay that found everything in the store."""
    return {
        "id": number,
        "kind": "replay",
        "args": {"since_ms": NOON - 600_000, "dry_run": False},
        "state": state,
        "cancelling": False,
        "created_ms": NOON,
        "started_ms": NOON + 1_000,
        "ended_ms": None if state in ("pending", "running") else NOON + 4_200,
        "progress": {"done": 5, "total": 5, "unit": "batches", "text": ""},
        "result": result() if state == "done" else None,
        "error": None,
        "checkpoint": None,
        "history": [{"at_ms": NOON, "text": "asked for"}, {"at_ms": NOON + 1_000, "text": "begins"}],
        "known": True,
        **changed,
    }


def result(**changed: Any) -> dict[str, Any]:
    """What came of it."""
    return {
        "looked_at": 5,
        "out_of_reach": 0,
        "batches": 5,
        "held": 5,
        "restored": 0,
        "partly": 0,
        "gone": 0,
        "other_store": 0,
        "forgotten": 0,
        "rows": 5_000,
        "rows_restored": 0,
        "rows_lost": 0,
        "reach_ms": NOON - 1_200_000,
        "named": [],
        **changed,
    }


def at(done: int, total: int = 5, text: str = "") -> dict[str, Any]:
    """A progress."""
    return {"done": done, "total": total, "unit": "batches", "text": text}
