"""The faults: one row each in ``KINDS``, and what it does.

A fault begins, lasts and ends inside its function; it may leave the daemon down (the runner starts it again) but
nothing stopped, full or spoilt. What a daemon may never do (end by itself, keep from ending) the daemon's own object
notes.
"""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from signal import SIGCONT, SIGKILL, SIGSTOP

import psutil

from bench.faults.daemon import Daemon, Process
from bench.faults.disk import Disk
from bench.faults.proxy import Mode, Proxy
from bench.faults.store import StoreProcess


@dataclass
class Stage:
    """What faults act on.

    Args:
        daemon: under test.
        draws: of this shot: decides which worker, which byte.
        lasts: s.
        disk: what the data directory is on; None: no disk that may be filled, see no_disk.
        no_disk: why not.
        proxy: in front of the store; None: see no_proxy.
        no_proxy: why not.
        store: its process; None: it was not started by the runner.
        postgresql: it is one.
    """

    daemon: Daemon
    draws: random.Random
    lasts: float
    disk: Disk | None
    no_disk: str
    proxy: Proxy | None
    no_proxy: str
    store: StoreProcess | None
    postgresql: bool

    def pause(self, seconds: float) -> None:
        """Let it last."""
        time.sleep(seconds)

    def send(self, processes: Iterable[Process], number: signal.Signals) -> list[Process]:
        """Signal several; those that were there."""
        return [one for one in processes if self.daemon.signal(one, number)]

    def some(self, processes: list[Process]) -> list[Process]:
        """Two or more of them, drawn."""
        return self.draws.sample(processes, self.draws.randint(min(2, len(processes)), len(processes)))

    def relaunch(self) -> None:
        """After a kill of the supervisor: reap it and start another."""
        self.daemon.kill()
        self.daemon.launch()


#: Seconds to wait for a batch to be on its way, and what a small insert takes on a slow machine.
AIM_WITHIN, INSERT_TAKES = 3.0, 0.03

Act = Callable[[Stage], object]
Need = Callable[[Stage], str]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault.

    Args:
        about: what happens, for people.
        lasts: least and most seconds.
        act: does it.
        needs: why it cannot be done here; "" if it can.
    """

    about: str
    lasts: tuple[float, float]
    act: Act
    needs: Need


def _nothing(stage: Stage) -> str:
    return ""


def _disk(stage: Stage) -> str:
    return stage.no_disk


def _proxy(stage: Stage) -> str:
    return stage.no_proxy


def _backend(stage: Stage) -> str:
    why = "the store is no PostgreSQL of the runner's: give --store postgresql://… and --store-command"
    return "" if stage.store is not None and stage.postgresql else why


def _store(stage: Stage) -> str:
    if stage.store is not None:
        return ""
    return stage.no_proxy or "the store is not the runner's: give --store-command"


# ---------------------------------------------------------------------------- processes


def _kill(role: str) -> Act:
    def act(stage: Stage) -> None:
        found = stage.daemon.children(role)
        stage.send([stage.draws.choice(found)] if found else [], SIGKILL)

    return act


def _kill_workers_again(stage: Stage) -> None:
    until = time.monotonic() + stage.lasts
    while time.monotonic() < until:
        stage.send(stage.daemon.children("worker"), SIGKILL)
        stage.pause(stage.draws.uniform(0.05, 0.8))


def _kill_in_insert(stage: Stage) -> None:
    """Looks at the flusher until a batch is on its way: kills at random moments mostly meet it waiting or starting."""
    until = time.monotonic() + stage.lasts
    while True:
        if stage.daemon.await_insert(AIM_WITHIN):
            stage.pause(stage.draws.uniform(0, INSERT_TAKES))
        stage.send(stage.daemon.children("flusher"), SIGKILL)
        if time.monotonic() >= until:
            return


def _kill_several(stage: Stage) -> None:
    stage.send(stage.some(stage.daemon.children()), SIGKILL)


def _kill_supervisor(stage: Stage) -> None:
    stage.relaunch()


def _kill_all(stage: Stage) -> None:
    processes = stage.daemon.children() + stage.daemon.processes()[:1]
    stage.draws.shuffle(processes)
    stage.send(processes, SIGKILL)
    stage.pause(stage.lasts)
    stage.relaunch()


def _stop(role: str) -> Act:
    def act(stage: Stage) -> None:
        found = [one for one in stage.daemon.processes() if one.role == role]
        _stopped(stage, [stage.draws.choice(found)] if found else [])

    return act


def _stop_several(stage: Stage) -> None:
    _stopped(stage, stage.some(stage.daemon.children()))


def _stop_all(stage: Stage) -> None:
    _stopped(stage, stage.daemon.children() + stage.daemon.processes()[:1])


def _stopped(stage: Stage, processes: list[Process]) -> None:
    stopped = stage.send(processes, SIGSTOP)
    try:
        stage.pause(stage.lasts)
    finally:
        stage.send(stopped, SIGCONT)  # one that was silent for too long has been replaced by now


def _drain(stage: Stage) -> None:
    stage.daemon.drain()
    stage.daemon.launch()


def _change_workers(stage: Stage) -> None:
    stage.daemon.drain()
    others = [n for n in (1, 2, 3, 4) if n != stage.daemon.workers]
    stage.daemon.workers = stage.draws.choice(others)
    stage.daemon.launch()


def _reload(stage: Stage) -> None:
    """Another number of workers, again and again, before those of the last change have settled."""
    until = time.monotonic() + stage.lasts
    while time.monotonic() < until:
        stage.daemon.change_workers(stage.draws.choice([n for n in (1, 2, 3, 4) if n != stage.daemon.workers]))
        stage.pause(stage.draws.uniform(0.1, 1.0))


def _reload_and_kill(stage: Stage) -> None:
    _reload(stage)
    _kill_several(stage)


def _kill_in_drain(stage: Stage) -> None:
    stage.daemon.terminate()
    stage.pause(stage.lasts)
    stage.relaunch()


# ---------------------------------------------------------------------------- disk


def _fill(stage: Stage) -> None:
    assert stage.disk is not None
    stage.disk.fill()
    try:
        stage.pause(stage.lasts)
    finally:
        stage.disk.free()


def _fill_within(stage: Stage) -> None:
    """Full and not full again within milliseconds: writes fail in the middle of what they belong to."""
    assert stage.disk is not None
    until = time.monotonic() + stage.lasts
    try:
        while time.monotonic() < until:
            stage.pause(stage.draws.uniform(0, 0.05))
            if stage.disk.close_off():
                stage.pause(stage.draws.uniform(0, 0.02))
            stage.disk.open_up()
    finally:
        stage.disk.open_up()


def _fill_at_start(stage: Stage) -> None:
    """A start may be refused then, by code 1 and in words; nothing that was answered may be lost for it."""
    assert stage.disk is not None
    stage.daemon.kill()
    stage.disk.fill()
    stage.daemon.may_fail = True
    try:
        stage.daemon.launch()
        stage.pause(stage.lasts)
    finally:
        stage.disk.free()
        stage.daemon.mend()
        stage.daemon.may_fail = False


# ---------------------------------------------------------------------------- store


def _spoil(kind: str, most_bytes: int = 1) -> Act:
    """Requests to the store are spoilt: all of them, or half."""

    def act(stage: Stage) -> None:
        assert stage.proxy is not None
        share = stage.draws.choice((1.0, 0.5))
        stage.proxy.set(Mode(kind, share, stage.draws.randint(1, most_bytes)))
        try:
            stage.pause(stage.lasts)
        finally:
            stage.proxy.set(None)

    return act


def _slow(stage: Stage) -> None:
    assert stage.proxy is not None
    stage.proxy.set(Mode("slow", 1.0, stage.draws.randint(1000, 40_000)))
    try:
        stage.pause(stage.lasts)
    finally:
        stage.proxy.set(None)


def _lose_and_kill(stage: Stage) -> None:
    """The store commits, the answer is lost, and who would ask about it is killed."""
    assert stage.proxy is not None
    stage.proxy.set(Mode("lost"))
    try:
        stage.pause(stage.lasts)
        stage.daemon.await_insert(AIM_WITHIN)
        stage.send(stage.daemon.children("flusher"), SIGKILL)
    finally:
        stage.proxy.set(None)


def _kill_backend(stage: Stage) -> None:
    """Of the flusher, within an insert; PostgreSQL ends all its backends then, and recovers."""
    assert stage.store is not None
    until = time.monotonic() + AIM_WITHIN
    while not (busy := [process for process, doing in stage.store.backends() if doing != "idle"]):
        if time.monotonic() >= until:
            return
    with contextlib.suppress(psutil.NoSuchProcess):
        busy[0].kill()


def _kill_store(stage: Stage) -> None:
    assert stage.store is not None
    stage.store.kill()
    stage.pause(stage.lasts)
    _start_store(stage)


def _kill_store_and_flusher(stage: Stage) -> None:
    assert stage.store is not None
    stage.store.signal(SIGSTOP)  # what of it is still there when its first process is gone would keep it from starting
    stage.send(stage.daemon.children("flusher"), SIGKILL)
    stage.store.kill()
    _start_store(stage)


def _start_store(stage: Stage) -> None:
    assert stage.store is not None
    stage.store.start()
    if stage.proxy is not None:
        stage.proxy.upstream = ("127.0.0.1", stage.store.port)


def _stop_store(stage: Stage) -> None:
    assert stage.store is not None
    stage.store.signal(SIGSTOP)
    try:
        stage.pause(stage.lasts)
    finally:
        stage.store.signal(SIGCONT)


KINDS: Mapping[str, Kind] = {
    "kill-worker": Kind("kill -9 of a worker", (0, 0), _kill("worker"), _nothing),
    "kill-workers-again": Kind("kill -9 of all workers, again and again", (1, 3), _kill_workers_again, _nothing),
    "kill-flusher": Kind("kill -9 of the flusher", (0, 0), _kill("flusher"), _nothing),
    "kill-flusher-in-insert": Kind(
        "kill -9 of the flusher with a batch on its way, again and again", (0, 4), _kill_in_insert, _nothing
    ),
    "kill-supervisor": Kind("kill -9 of the supervisor; another start", (0, 0), _kill_supervisor, _nothing),
    "kill-several": Kind("kill -9 of several children at once", (0, 0), _kill_several, _nothing),
    "kill-all": Kind("kill -9 of every process; another start", (0, 1), _kill_all, _nothing),
    "stop-worker": Kind("SIGSTOP of a worker, then SIGCONT", (0.5, 8), _stop("worker"), _nothing),
    "stop-flusher": Kind("SIGSTOP of the flusher, then SIGCONT", (0.5, 8), _stop("flusher"), _nothing),
    "stop-supervisor": Kind("SIGSTOP of the supervisor, then SIGCONT", (0.5, 4), _stop("supervisor"), _nothing),
    "stop-several": Kind("SIGSTOP of several children at once", (0.5, 4), _stop_several, _nothing),
    "stop-all": Kind("SIGSTOP of every process", (0.5, 3), _stop_all, _nothing),
    "drain": Kind("SIGTERM, then another start", (1, 3), _drain, _nothing),
    "change-workers": Kind("SIGTERM, then a start with another number of workers", (1, 3), _change_workers, _nothing),
    "reload": Kind("a reload with another number of workers, again and again", (1, 3), _reload, _nothing),
    "reload-and-kill": Kind("the same, and kill -9 of several children", (0.5, 2), _reload_and_kill, _nothing),
    "kill-in-drain": Kind("SIGTERM, and kill -9 before it is done", (0, 1), _kill_in_drain, _nothing),
    "disk-full": Kind("no space left on the data directory's disk", (1, 4), _fill, _disk),
    "disk-full-within": Kind("the same for milliseconds, again and again", (1, 3), _fill_within, _disk),
    "disk-full-at-start": Kind("kill -9, and a start without space", (2, 4), _fill_at_start, _disk),
    "store-error": Kind("the store answers 500", (1, 5), _spoil("error"), _proxy),
    "store-hang": Kind("the store takes connections and never answers", (1, 8), _spoil("hang"), _proxy),
    "store-cut": Kind("a reset in the middle of a request to the store", (1, 4), _spoil("cut", 100_000), _proxy),
    "store-lost-reply": Kind("the store commits, its answer is lost", (1, 4), _spoil("lost"), _proxy),
    "store-text": Kind("the store answers 200 with an exception's text", (1, 4), _spoil("text"), _proxy),
    "store-slow": Kind("the store takes 1 to 40 KB/s", (2, 8), _slow, _proxy),
    "store-refuse": Kind("the store refuses connections", (1, 5), _spoil("refuse"), _proxy),
    "store-lost-reply-kill": Kind(
        "the same, and kill -9 of the flusher that would ask", (0.5, 1.5), _lose_and_kill, _proxy
    ),
    "kill-backend": Kind("kill -9 of PostgreSQL's process that serves the flusher", (0, 0), _kill_backend, _backend),
    "kill-store": Kind("kill -9 of the store; another start", (0, 2), _kill_store, _store),
    "kill-store-and-flusher": Kind("kill -9 of store and flusher at once", (0, 0), _kill_store_and_flusher, _store),
    "stop-store": Kind("SIGSTOP of the store, then SIGCONT", (0.5, 6), _stop_store, _store),
}
