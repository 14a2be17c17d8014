"""A ring's file spoilt by another hand while worker and flusher work on it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.process.harness import Daemon, slain, until
from tests.process.judge import flush
from tests.process.sender import event_of, id_of
from trackflowd.ring import file

UUID_AT = 24

GONE = "is gone or was changed by another hand: nothing is accepted any more"
UNREADABLE = "cannot be read"


def unlink(ring: Path) -> None:
    ring.unlink()


def replace(ring: Path) -> None:
    other = ring.with_name("other")
    other.write_bytes(bytes(ring.stat().st_size))
    other.replace(ring)


def truncate(ring: Path) -> None:
    os.truncate(ring, 4096)


def rename_by_uuid(ring: Path) -> None:
    with ring.open("r+b") as stream:
        stream.seek(UUID_AT)
        stream.write(bytes(16))


def forbid(ring: Path) -> None:
    ring.chmod(0)


#: What is done to the file → what is said of it; "": it does no harm, and nothing is.
HARMS: dict[Callable[[Path], None], str] = {
    unlink: GONE,
    replace: GONE,
    truncate: UNREADABLE,
    rename_by_uuid: UNREADABLE,
    forbid: "",
}


def test_a_ring_spoilt_while_in_use_is_an_alarm_ends_its_2xx_and_costs_nothing_that_was_stored(tmp_path: Path) -> None:
    with Daemon(tmp_path, "store.url=chdb:", "daemon.workers=1", "log.level=info") as daemon:
        sent = 0
        for harm, said in HARMS.items():
            sent = post(daemon, sent)
            flush(daemon)
            worker, before = daemon.pid("worker 0"), len(daemon.log())
            harm(ring_of(daemon))
            late(daemon)  # a store into a part that is cut off is a SIGBUS
            if said:
                await_text(daemon, before, said)
                assert late(daemon) in (0, 503) or said != GONE
                slain(worker)
        sent = post(daemon, sent)
        flush(daemon)
        stored = daemon.rows("SELECT toString(event_id) AS id FROM events WHERE site != 'late'")
        assert sorted(row["id"] for row in stored) == sorted(map(id_of, range(sent)))
        restarts = {row["role"]: row["restarts"] for row in daemon.status()["processes"]}
        assert restarts["worker"] <= len(HARMS) and restarts["flusher"] <= 1, "they die again and again"


def post(daemon: Daemon, first: int) -> int:
    """Send events until they are taken; the number after the last."""
    events = [event_of(n, 1) for n in range(first, first + 10)]
    until(lambda: status_of(daemon, events) == 200)
    return first + 10


def late(daemon: Daemon) -> int:
    """Send an event to whom it may concern."""
    return status_of(daemon, {"site": "late", "name": "n"})


def status_of(daemon: Daemon, events: object) -> int:
    """The answer's; 0: there was none, the worker was on its way out."""
    try:
        return daemon.post(events)[0]
    except OSError:
        return 0


def await_text(daemon: Daemon, start: int, text: str) -> None:
    until(lambda: text in daemon.log()[start:])


def ring_of(daemon: Daemon) -> Path:
    """The ring in use: the one that is locked."""
    rings = sorted((daemon.data_dir / "rings").glob("*.ring"))
    (used,) = [ring for ring in rings if file.has_writer(ring)]
    return used
