"""Documents of runs as the bench prints them, small and made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PLACE: dict[str, Any] = {
    "format": 1,
    "machine": {"cpu": "a test's", "cores": 2, "memory_bytes": 2**34},
    "versions": {"python": "3.11.7"},
    "commit": "abc123",
    "parameters": {"repetitions": 3},
    "began": "2026-11-24T12:00:00+00:00",
}


def figure(median: float, spread: float = 0.0, unit: str = "µs", better: str | None = "lower") -> dict[str, Any]:
    """A figure whose lowest and highest repetitions are spread apart."""
    low, high = median - spread / 2, median + spread / 2
    return {"unit": unit, "median": median, "min": low, "max": high, "better": better}


def scenario(name: str, holds: bool | None = True, **figures: dict[str, Any]) -> dict[str, Any]:
    """A scenario; ``cpu_us__worker`` stands for cpu_us.worker."""
    return {
        "name": name,
        "about": f"about {name}",
        "parameters": {"connections": 64},
        "runs": [],
        "figures": {key.replace("__", "."): value for key, value in figures.items()},
        "latency": None,
        "series": None,
        "acked": 1000,
        "stored": 1000 if holds else 999,
        "holds": holds,
    }


def run(*scenarios: dict[str, Any], **place: Any) -> dict[str, Any]:
    """A document of ``bench run``."""
    return {**PLACE, **place, "kind": "run", "scenarios": list(scenarios)}


def peer(name: str, ratio: float, spread: float = 0.0, **more: Any) -> dict[str, Any]:
    """A peer; nginx takes 10 µs."""
    figures = {
        "cpu_us": figure(ratio * 10, spread * 10),
        "ratio": figure(ratio, spread, "× nginx"),
        "stored_cpu_us": figure(ratio * 12, spread),
        "stored_ratio": figure(ratio * 1.2, spread, "× nginx"),
        "rate": figure(90_000 / ratio, 0.0, "requests/s", "higher"),
    }
    return {"name": name, "about": f"about {name}", "skipped": None, "figures": figures, "pairs": [], **more}


def peers(*found: dict[str, Any], **place: Any) -> dict[str, Any]:
    """A document of ``bench peers``."""
    return {**PLACE, **place, "kind": "peers", "peers": list(found)}


def written(path: Path, document: object) -> str:
    """The document in a file; its path."""
    path.write_text(json.dumps(document))
    return str(path)
