"""Moves a stack's containers along: up, down, away; each step written down before and after it is taken."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from trackflowd.errors import StackError
from trackflowd.stack.book import Book, Record, now_ms, shown
from trackflowd.stack.engine import Engine
from trackflowd.stack.phase import Phase, Seen, Verdict, judge
from trackflowd.stack.plan import Container, Plan

#: Seconds between two looks at the engine, and between two writes of how much of an image is there.
LOOK_EVERY = 0.25
WRITE_EVERY = 0.5
#: Lines of a container's log that are shown with its failure, and the longest of it, in characters.
_LAST_LINES = 3
_LAST_TEXT = 300

Told = Callable[[Record], None]


class Crew:
    """Who works on a stack's containers.

    Args:
        plan: the stack.
        engine: connected.
        book: its records, held.
        directory: the stack's own, for small files.
        told: called after each change of a record.
    """

    def __init__(self, plan: Plan, engine: Engine, book: Book, directory: Path, told: Told) -> None:
        self._plan = plan
        self._engine = engine
        self._book = book
        self._files = directory.absolute() / "files"  # a bind mount takes no other
        self._told = told
        #: When a container began to start, by the monotonic clock.
        self._since: dict[str, float] = {}

    def look(self) -> Mapping[str, Seen]:
        """Ask the engine, and take over what it says into every record there is."""
        seen = self._engine.look()
        known = {record.name: record for record in self._book.records()}
        for name in seen.keys() - known.keys():  # our directory was lost, or is another
            image = self._plan.containers[name].image if name in self._plan.containers else ""
            known[name] = self._book.record(name, image)
        for record in known.values():
            self._become(record, judge(record.name, record.phase, seen.get(record.name)))
        return seen

    def _become(self, record: Record, verdict: Verdict) -> None:
        if verdict.phase is Phase.STARTING and record.phase is not Phase.STARTING:
            self._since[record.name] = time.monotonic()
        if record.become(verdict, now_ms()):
            self._book.save(record)
            self._told(record)

    # --------------------------------------------------------------------- up

    def up(self, chosen: Mapping[str, Container]) -> bool:
        """Bring containers up and wait until each is healthy or has failed; whether all are healthy.

        Args:
            chosen: by name, each after those it needs.
        """
        seen = self.look()
        records = {name: self._book.record(name, container.image) for name, container in chosen.items()}
        for name, record in records.items():
            stale = name in seen and seen[name].mark != chosen[name].mark()
            if stale or not record.phase.up:
                self._become(record, Verdict(Phase.PENDING, "made anew: the stack file has changed" if stale else "up"))
        while True:
            for name, record in records.items():
                if record.phase is Phase.PENDING:
                    self._begin(name, chosen[name], records, seen.get(name))
            seen = self._engine.look()
            for name, record in records.items():
                if record.phase.up:
                    self._follow(record, chosen[name], seen.get(name))
            if all(record.phase in (Phase.HEALTHY, Phase.FAILED, Phase.STOPPED) for record in records.values()):
                return all(record.phase is Phase.HEALTHY for record in records.values())
            time.sleep(LOOK_EVERY)

    def _begin(self, name: str, container: Container, records: Mapping[str, Record], seen: Seen | None) -> None:
        """Fetch and start a container once those it needs are healthy."""
        record = records[name]
        for need in container.needs:
            if need in records and records[need].phase in (Phase.FAILED, Phase.STOPPED):
                verdict = Verdict(Phase.FAILED, f"needs {need}, which is {records[need].phase}", f"mend {need} first")
                return self._become(record, verdict)
            if need in records and records[need].phase is not Phase.HEALTHY:
                return
        try:
            if not self._engine.has(container.image):
                self._become(record, Verdict(Phase.PULLING, f"fetches {container.image}"))
                self._pull(record, container.image)
            self._become(record, Verdict(Phase.STARTING, "starting"))
            self._engine.start(name, container, self._write(name, container), seen)
        except StackError as error:
            self._become(record, Verdict(Phase.FAILED, error.text, error.hint))

    def _pull(self, record: Record, image: str) -> None:
        written = 0.0

        def told(done: int, total: int) -> None:
            nonlocal written
            if time.monotonic() - written > WRITE_EVERY:
                written = time.monotonic()
                record.task.progress = dataclasses.replace(record.task.progress, done=done, total=total, unit="bytes")
                self._book.save(record)
                self._told(record)

        self._engine.pull(image, told)

    def _write(self, name: str, container: Container) -> Path:
        """Write a container's small files; the directory they are in."""
        root = self._files / name
        for path, text in container.files.items():
            file = root / path[1:]
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists() or file.read_text() != text:
                file.write_text(text)
            file.chmod(0o644)  # whoever the container runs as reads it; who may look for it is up to the directory
        return root

    def _follow(self, record: Record, container: Container, seen: Seen | None) -> None:
        """Take over what the engine says of a container that starts, and give it up where it takes too long."""
        verdict = judge(record.name, record.phase, seen)
        if verdict.phase is Phase.PENDING:
            verdict = Verdict(Phase.FAILED, "its container was removed while it started", "trackflow stack up again")
        waited = time.monotonic() - self._since.setdefault(record.name, time.monotonic())
        # While it runs, its last end has no code any more, and it may come through.
        many = seen is not None and seen.restarts > container.restarts and seen.status != "running"
        if verdict.phase is Phase.STARTING and seen is not None and (many or waited > container.wait):
            text = f"ended with code {seen.exit_code}, {seen.restarts} times again" if many else "is not healthy"
            within = "" if many else f" within {container.wait:g} s"
            self._engine.stop(seen.id, container.stop)
            hint = f"trackflow stack logs {record.name} has all it said"
            verdict = Verdict(Phase.FAILED, f"{text}{within}{self._last(seen.id)}", hint)
        self._become(record, verdict)

    def _last(self, number: str) -> str:
        said = b"".join(self._engine.logs(number, _LAST_LINES)).decode("utf-8", "replace")
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        return f"; it said: {' / '.join(lines)[-_LAST_TEXT:]}" if lines else ""

    # ---------------------------------------------------------- down and away

    def down(self, chosen: Mapping[str, Container]) -> None:
        """Stop containers, each before those it needs; what is in their volumes stays."""
        seen = self.look()
        for record in self._reversed(chosen):
            found = seen.get(record.name)
            if found is not None and found.status in ("running", "paused", "restarting"):
                container = self._plan.containers.get(record.name)
                self._engine.stop(found.id, container.stop if container else 60)
            if record.phase is not Phase.STOPPED:
                self._become(record, Verdict(Phase.STOPPED, "stopped"))

    def away(self, chosen: Mapping[str, Container], everything: bool, volumes: bool) -> None:
        """Stop and remove containers.

        Args:
            chosen: them.
            everything: all of the stack is meant: its network goes, too.
            volumes: and so do its volumes.
        """
        self.down(chosen)
        seen = self._engine.look()
        for record in self._reversed(chosen):
            if record.name in seen:
                self._engine.remove(seen[record.name].id)
                self._become(record, Verdict(Phase.STOPPED, "removed"))
        if everything:
            self._engine.clear(volumes)

    def _reversed(self, chosen: Mapping[str, Container]) -> Sequence[Record]:
        order = list(self._plan.containers)
        records = [record for record in self._book.records() if record.name in chosen or record.name not in order]
        return sorted(records, key=lambda record: -order.index(record.name) if record.name in order else -len(order))

    # ---------------------------------------------------------------- figures

    def status(self, figures: bool = True) -> list[dict[str, Any]]:
        """Every container as JSON has it, after a look; figures: with what those that run use."""
        seen = self.look()
        rows = [shown(record.task) for record in self._book.records()]
        running = {row["args"]["name"] for row in rows} & {name for name, at in seen.items() if at.status == "running"}
        used: dict[str, dict[str, float]] = {}
        if figures and running:
            with ThreadPoolExecutor(len(running)) as pool:  # each takes a second or two
                used = dict(
                    zip(running, pool.map(lambda name: self._engine.figures(seen[name].id), running), strict=True)
                )
        for row in rows:
            name = row["args"]["name"]
            found = seen.get(name)
            row["container"] = {
                "id": found.id if found else None,
                "restarts": found.restarts if found else 0,
                **used.get(name, {}),
            }
        return rows
