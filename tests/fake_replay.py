"""The flusher's half of a replay for ``fake_child``: a directory says what there is, and keeps what was done.

::

    replay/plan       JSON: batches, rows, reach_ms
    replay/answers    JSON: batch → what differs from "restored, ten rows"; "error": [code, text] refuses
    replay/held/ID    the store holds this batch
    replay/hold       a batch's id: its answer waits until this file is removed
    replay/asked      a line for each batch asked for
    replay/sent       a line for each batch sent to the store

Without a plan there is nothing to replay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: Rows of every batch.
ROWS = 10


class Replay:
    """The directory, from both sides.

    Args:
        data_dir: of the daemon.
    """

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "replay"

    # --------------------------------------------------------- the test's side

    def prepare(self, batches: Sequence[str], held: Sequence[str] = (), **answers: Mapping[str, Any]) -> None:
        """Say what there is to replay."""
        (self.path / "held").mkdir(parents=True, exist_ok=True)
        for batch in held:
            (self.path / "held" / batch).touch()
        self._write("answers", json.dumps(answers))
        self._write("plan", json.dumps({"batches": batches, "rows": len(batches) * ROWS, "reach_ms": 1_000}))

    def _write(self, name: str, text: str) -> None:
        (self.path / "tmp").write_text(text)
        (self.path / "tmp").rename(self.path / name)

    def hold(self, batch: str) -> None:
        """Have the answer of a batch wait."""
        self._write("hold", batch)

    def release(self) -> None:
        """Let it go."""
        (self.path / "hold").unlink()

    @property
    def asked(self) -> list[str]:
        """Batches asked for, in order."""
        return self._lines("asked")

    @property
    def sent(self) -> list[str]:
        """Batches sent to the store, in order."""
        return self._lines("sent")

    def _lines(self, name: str) -> list[str]:
        path = self.path / name
        return path.read_text().split() if path.exists() else []

    # -------------------------------------------------------- the child's side

    def holds(self, batch: str) -> bool:
        """Whether the answer of this batch is to wait."""
        try:
            return (self.path / "hold").read_text() == batch
        except FileNotFoundError:
            return False

    def plan(self) -> dict[str, Any]:
        """Answer of ``replay_plan``."""
        path = self.path / "plan"
        empty = {"batches": [], "rows": 0, "reach_ms": 0}
        value: dict[str, Any] = json.loads(path.read_text()) if path.exists() else empty
        return value

    def note(self, batch: str) -> None:
        """A batch is asked for."""
        self._add("asked", batch)

    def batch(self, batch: str, dry_run: bool) -> dict[str, Any]:
        """Answer of ``replay_batch``."""
        value = {"batch": batch, "rows": ROWS, "outcome": "restored", "restored": ROWS, "lost": 0, "text": ""}
        held = self.path / "held" / batch
        if held.exists():
            return {**value, "outcome": "held", "restored": 0}
        value |= json.loads((self.path / "answers").read_text()).get(batch, {})
        if value["restored"] and not dry_run and "error" not in value:
            self._add("sent", batch)
            held.touch()
        return value

    def _add(self, name: str, batch: str) -> None:
        with open(self.path / name, "a") as file:
            file.write(batch + "\n")
