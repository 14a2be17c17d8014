"""What a scenario is, what it was asked for, and what it has measured so far."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from bench.scenarios.figures import Turn, scenario_document
from bench.traffic.model import Model
from bench.traffic.model import Options as Traffic
from bench.traffic.wire import Format, Pool

T = TypeVar("T")

#: Events a second where a scenario has a fixed rate: far below what one core serves, and above a slow store's pace.
FIXED_RATE = 1000.0


class Skipped(Exception):
    """This machine or these options do not allow the scenario; the text names what is missing."""


@dataclass(frozen=True)
class Options:
    """What was asked for.

    Args:
        seconds: of one measurement.
        repeat: measurements of a kind.
        warm_up: seconds of traffic before the first.
        connections: of the generator.
        workers: of the daemon.
        seed, pool: of the traffic; see ``bench traffic``.
        store: ``store.url`` of the daemon.
        server, server_command: a ClickHouse server for the scenarios that slow it and cut it off; what starts it.
        rows: of the filled store.
        idle: connections that are open and silent.
        sets: further options of the daemon.
    """

    seconds: float = 10.0
    repeat: int = 5
    warm_up: float = 3.0
    connections: int = 64
    workers: int = 1
    seed: int = 1
    pool: int = 20_000
    store: str = "chdb:"
    server: str = ""
    server_command: str = ""
    rows: int = 10_000_000
    idle: int = 10_000
    sets: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As the document has them."""
        return asdict(self)


@dataclass(frozen=True)
class Scenario:
    """A scenario.

    Args:
        name: as typed.
        about: one line.
        measure: takes the stage and adds turns to it.
        load: what its turns without a label are measured under.
        parameters: what it was measured with beside the options.
        by_default: it runs where no name is given.
    """

    name: str
    about: str
    measure: Callable[[Stage], None]
    load: str = "as fast as it goes"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    by_default: bool = True


class Pools:
    """Requests made beforehand, once for all scenarios that send the same.

    Args:
        seed, events: see ``bench.traffic.wire.Pool``.
        first: of the numbers ``fresh_run`` gives.
    """

    def __init__(self, seed: int, events: int, first: int = 0) -> None:
        self.seed = seed
        self._events = events
        self._made: dict[tuple[Format, float], Pool] = {}
        self._runs: Iterator[int] = count(first)

    @classmethod
    def of(cls, options: Options) -> Pools:
        """Those for what was asked for."""
        # A store that is there already may hold the ids of an earlier run with this seed.
        fresh = options.store.startswith("chdb:") and not options.server
        return cls(options.seed, options.pool, 0 if fresh else secrets.randbelow(2**31))

    def fresh_run(self) -> int:
        """A number no measurement had before: its events get ids of their own."""
        return next(self._runs)

    def get(self, form: Format, bad: float) -> Pool:
        """The pool of a form with a share of bad requests."""
        found = self._made.get((form, bad))
        if found is None:
            hits = Model(Traffic(self.seed, bad=bad)).hits()
            found = self._made[form, bad] = Pool.of(hits, form, self.seed, self._events)
        return found


class Lender:
    """What scenarios start: each its own, ended with its use; or, with ``keeps``, one for all who ask for the same.

    A daemon takes seconds to start: where it is only tried whether scenarios work, they share it.
    """

    def __init__(self, keeps: bool = False) -> None:
        self._keeps = keeps
        self._stack = ExitStack()
        self._made: dict[object, Any] = {}

    @contextmanager
    def lend(self, key: object, make: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
        """What make gives, or gave before for an equal key."""
        if not self._keeps:
            with make() as made:
                yield made
            return
        if key not in self._made:
            self._made[key] = self._stack.enter_context(make())
        yield self._made[key]

    def __enter__(self) -> Lender:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)


class Stage:
    """One run of a scenario.

    Args:
        options: what was asked for.
        work: a directory; with a lender that keeps, that of all scenarios.
        pools, lender: of the whole bench.
        say: told what is done now.

    Attributes:
        turns: what was measured, in order; complete ones only.
    """

    def __init__(
        self, options: Options, work: Path, pools: Pools, lender: Lender, say: Callable[[str], None]
    ) -> None:  # fmt: skip
        self.options = options
        self.work = work
        self.pools = pools
        self.lend = lender.lend
        self.say = say
        self.turns: list[Turn] = []

    def repetitions(self, what: str = "") -> Iterator[int]:
        """Numbers of the repetitions, said as they begin."""
        for number in range(self.options.repeat):
            self.say(f"{what + ', ' if what else ''}{number + 1} of {self.options.repeat}")
            yield number

    def document(self, scenario: Scenario) -> dict[str, Any]:
        """What there is, as the document has it."""
        return scenario_document(scenario.name, scenario.about, scenario.load, scenario.parameters, self.turns)
