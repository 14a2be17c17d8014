"""``python -m bench``, installed as ``trackflow-bench``: one program, one noun a measurement."""

from __future__ import annotations

import importlib
import os
import select
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

#: What it is called where it is installed.
COMMAND = "trackflow-bench"


@dataclass(frozen=True, slots=True)
class Noun:
    """One measurement.

    Args:
        module: has ``main(argv) -> int``; imported when it is asked for, since each needs other things.
        about: one line.
        example: what to type, after ``python -m bench``.
    """

    module: str
    about: str
    example: str


NOUNS: Mapping[str, Noun] = {
    "cost": Noun("bench.cost", "CPU per request of a worker, beside nginx's, in one run", "cost --pairs 5"),
    "run": Noun("bench.scenarios.cli", "scenarios: what TrackFlow does and costs under each", "run single open"),
    "peers": Noun(
        "bench.peers.cli", "CPU per request of trackflowd and of other servers, beside nginx's", "peers --install"
    ),
    "tracker": Noun(
        "bench.tracker", "main-thread time of the browser script on load", "tracker --loads 15 --throttle 4"
    ),
    "traffic": Noun("bench.traffic.cli", "send traffic that looks real, and time the answers", "traffic --rate 5000"),
    "faults": Noun(
        "bench.faults.cli", "kill, stop and starve a daemon under load; count what is lost", "faults --seconds 60"
    ),
    "schema": Noun(
        "bench.schema",
        "choices of the ClickHouse schema, each on the same events",
        "schema DATA_DIR --variants day,zstd",
    ),
    "overview": Noun(
        "bench.overview",
        "stats overview on a filled store: read whole, added up, asked again",
        "overview DATA_DIR --days 7,30",
    ),
    "migrate": Noun(
        "bench.migrate",
        "move events to another store under traffic, the mover killed; count what is lost",
        "migrate --postgres postgresql://postgres@localhost/bench",
    ),
    "reload": Noun(
        "bench.reload",
        "options and the number of workers changed each second under load; count what fails and what is lost",
        "reload --seconds 60 --rate 5000",
    ),
    "report": Noun("bench.report.cli", "one page with charts of documents of runs", "report run.json peers.json"),
    "compare": Noun(
        "bench.report.compare", "what is slower or faster than before, beyond the spread", "compare a.json b.json"
    ),
}


def usage() -> str:
    """What ``--help`` says."""
    program = COMMAND if Path(sys.argv[0]).name == COMMAND else "python -m bench"
    lines = [f"usage: {program} NOUN [options]", "", "Measurements of TrackFlow. NOUN is one of:", ""]
    lines += [f"  {name:10}{noun.about}" for name, noun in NOUNS.items()]
    lines += ["", f"{program} NOUN --help has the options of each. Examples:", ""]
    lines += [f"  {program} {noun.example}" for noun in NOUNS.values()]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of ``python -m bench``; the exit code."""
    try:
        try:
            return _run(list(sys.argv[1:] if argv is None else argv))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _unread():
            raise  # of a measurement's own
        # Python flushes standard output once more at exit; give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _unread() -> bool:
    """Whether nobody reads standard output any more, as after ``| head``."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _run(words: Sequence[str]) -> int:
    if words and words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if not words or words[0] not in NOUNS:
        problem = f"there is no {words[0]!r}" if words else "a noun is needed"
        print(f"bench: {problem}\n\n{usage()}", file=sys.stderr)
        return 2
    found = importlib.import_module(NOUNS[words[0]].module)
    return cast("Callable[[Sequence[str]], int]", found.main)(words[1:])


if __name__ == "__main__":
    sys.exit(main())
