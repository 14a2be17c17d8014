"""The children as a whole: looked at, replaced, dealt their listeners, told things, ended.

What is to happen is decided by ``fleet``; this does it. ``tick`` is called by the supervisor's one
loop and nowhere else, so nothing here runs twice at a time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trackflowd import config as configuration
from trackflowd.buckets import Buckets
from trackflowd.certificates import Pair, as_message
from trackflowd.children import Child, Inherited, Receive, Unavailable, describe_exit, spawn
from trackflowd.counters import Role
from trackflowd.errors import TrackflowError
from trackflowd.fleet import FILLED, Action, Phase, Seat, Sight, deal
from trackflowd.listeners import Listeners
from trackflowd.shared import Page, Slot, State

log = logging.getLogger(__name__)

#: Seconds a child may take for what it should answer at once.
SOON = 1.0
#: Seconds children have to take on new options before it is said that one has not.
TAKEN_IN = 5.0
#: Tries of every worker after which a start has failed: with their waits, some seconds.
START_TRIES = 5


class Crew:
    """Every child of the daemon.

    Args:
        cfg: handed to each.
        listeners: inherited by workers.
        receive: called with a child and each of its messages that is not a reply.
        log_fd: socket children hand their log lines on to.
    """

    def __init__(self, cfg: configuration.Config, listeners: Listeners, receive: Receive, log_fd: int) -> None:
        self._config = configuration.dump(cfg)
        self._receive = receive
        self._patience = cfg.daemon.stall_after
        workers = self._most = cfg.daemon.workers
        self.page, page_fd = Page.create(workers, max(len(listeners.sockets), 1))
        self._buckets = Buckets.create(workers)
        self._fds = Inherited(page_fd, log_fd, self._buckets.fd, listeners.fds)
        self.workers = [Seat("worker", index, self._patience) for index in range(workers)]
        self.flusher = Seat("flusher", 0, self._patience)
        self._children: dict[str, Child] = {}
        self._ending = self._closed = False
        self._seal: Sequence[Mapping[str, object]] = ()

    @property
    def seats(self) -> list[Seat]:
        """Every seat."""
        return [self.flusher, *self.workers]

    def child(self, seat: Seat) -> Child | None:
        """Who sits there."""
        return self._children.get(seat.name)

    def children(self, role: Role) -> Iterator[Child]:
        """Every running child of a role."""
        for seat in self.seats:
            child = self.child(seat)
            if seat.role == role and child is not None:
                yield child

    def slot(self, seat: Seat) -> Slot:
        """A seat's part of the shared page."""
        return self.page.slot(seat.role, seat.index)

    def slots(self) -> list[Slot]:
        """Every part of the shared page that was ever somebody's: what a worker that is no more has counted stays."""
        return [self.page.slot("flusher"), *(self.page.slot("worker", index) for index in range(self._most))]

    async def tick(self) -> None:
        """Look at every child and do what is due."""
        for seat in self.seats:
            child = self.child(seat)
            if child is not None:
                self._see(seat, child)
            if seat.phase is Phase.WAITING and not self._closed:
                now = time.monotonic()
                if seat.look(now, None) is Action.START:
                    await self._start(seat, now)
        self.workers = [seat for seat in self.workers if seat.index < self.page.workers or self._fills(seat)]
        self._deal()

    def _fills(self, seat: Seat) -> bool:
        """Whether a seat that is not wanted any more still has a process."""
        return seat.phase is not Phase.ENDED

    def _see(self, seat: Seat, child: Child) -> None:
        before = seat.phase
        sight = child.look()
        if sight.exit is not None:
            # Cleared before anybody else may sit there: what the slot says is then its own.
            self.slot(seat).clear()
            del self._children[seat.name]
            child.channel.close()
        action = seat.look(time.monotonic(), sight)
        if sight.exit is not None:
            self._say_exit(seat, child, sight.exit)
        elif action is Action.KILL:
            log.error("%s: no sign of life for %.1f s: killed, to be replaced", seat.name, seat.silence)
            child.kill()
        elif seat.phase is not before:
            self._say_phase(seat, before, child)

    def _say_exit(self, seat: Seat, child: Child, code: int) -> None:
        how = describe_exit(code)
        if seat.phase is Phase.ENDED:
            log.info("%s (process %d) %s", seat.name, child.pid, how)
            return
        wait = max(seat.due - time.monotonic(), 0.0)
        when = "" if self._closed else f"; replaced {f'in {wait:.1f} s' if wait else 'at once'}"
        log.warning("%s (process %d) %s%s", seat.name, child.pid, how, when)

    def _say_phase(self, seat: Seat, before: Phase, child: Child) -> None:
        if seat.phase is Phase.SILENT and seat.role == "worker":
            log.warning("%s: no sign of life for %.1f s: its listeners go to others", seat.name, seat.silence)
        elif seat.phase is Phase.READY:
            heard = "is heard again" if before is Phase.SILENT else f"is ready (process {child.pid})"
            log.info("%s %s", seat.name, heard)

    async def _start(self, seat: Seat, now: float) -> None:
        seat.spawned(now)
        config = self._config
        try:
            child = await spawn(seat, self.slot(seat), config, self._fds, self._receive)
        except OSError as error:
            log.error("%s cannot be started: %s", seat.name, error)
            seat.look(now, Sight(0.0, False, 1))
            return
        self._children[seat.name] = child
        # What was told to everybody while it was started has not reached it.
        if config is not self._config:
            child.channel.tell("reload", config=self._config)
        if seat.role == "worker" and self._seal:
            child.channel.tell("seal", pairs=self._seal)
        if seat.retired and not self._ending:
            child.channel.tell("retire", on=True)

    async def take(self, cfg: configuration.Config) -> Sequence[str]:
        """Have as many workers as the options say, and tell every child, also those to come, what has changed.

        Returns:
            Names of children that have not said in time that they took it on; they have the message.
        """
        self._config = configuration.dump(cfg)
        self._resize(cfg.daemon.workers)
        told = list(self._children.values())
        taken = await asyncio.gather(*(self._tell(child) for child in told))
        return [child.name for child, done in zip(told, taken, strict=True) if not done]

    async def _tell(self, child: Child) -> bool:
        try:
            await child.channel.call("reload", TAKEN_IN, config=self._config)
        except TrackflowError as error:
            log.debug("%s: %s", child.name, error)
            return False
        return True

    def seal(self, pairs: Sequence[Pair]) -> None:
        """Have every worker, also those to come, speak TLS with these certificates."""
        self._seal = as_message(pairs)
        for child in self.children("worker") if pairs else ():
            child.channel.tell("seal", pairs=self._seal)

    def _resize(self, count: int) -> None:
        """Want so many workers. A surplus one answers what it is asked, takes no new connections, and ends."""
        if self._ending:
            return
        self.page.workers = count
        self._most = max(self._most, count)
        self._buckets.grow(count)
        for seat in self.workers:
            surplus = seat.index >= count
            if surplus == seat.retired:
                continue
            if surplus:
                seat.retire()
            else:
                seat.take_back()
            if (child := self.child(seat)) is not None:
                child.channel.tell("retire", on=surplus)
        there = {seat.index for seat in self.workers if self._fills(seat)}
        fresh = [Seat("worker", index, self._patience) for index in range(count) if index not in there]
        self.workers = sorted([seat for seat in self.workers if self._fills(seat)] + fresh, key=lambda seat: seat.index)

    def _deal(self) -> None:
        owners = self.page.owners
        current = [owners[i] for i in range(len(owners))]
        serving = [seat.index for seat in self.workers if self._serves(seat)]
        for i, slot in enumerate(deal(current, self.page.workers, serving)):
            if current[i] != slot:
                owners[i] = slot

    def _serves(self, seat: Seat) -> bool:
        """Whether it takes connections: one that was surplus and is wanted again does once it says so."""
        child = self.child(seat)
        ready = seat.phase is Phase.READY and not seat.retired
        return ready and child is not None and child.state is State.READY

    def check_start(self) -> None:
        """Give up on a start in which no worker comes up (a full disk, say); once one was ready, never.

        A flusher that does not come up is no reason: events can be taken, and the rings keep them.

        Raises:
            TrackflowError: every worker ended ``START_TRIES`` times before one was ready.
        """
        if all(seat.failed_starts >= START_TRIES and not seat.was_ready for seat in self.workers):
            raise TrackflowError("no worker can be started", "what each said before it ended is above")

    async def ask_flusher(self, name: str, timeout: float, /, **args: Any) -> Any:
        """Call the flusher.

        Raises:
            Unavailable: there is none at the moment, or no answer in time.
            TrackflowError: what it answered.
        """
        child = self.child(self.flusher)
        if child is None:
            raise Unavailable("the flusher is being restarted", "try again in a moment")
        return await child.channel.call(name, timeout, **args)

    async def ask_workers(self, name: str) -> Any:
        """Call the workers one after another until one answers: it speaks for all.

        Raises:
            Unavailable: none does.
        """
        for child in self.children("worker"):
            try:
                return await child.channel.call(name, SOON)
            except TrackflowError:
                continue
        raise Unavailable("no worker answers", "see `trackflow status`")

    def retire(self, role: Role) -> None:
        """Begin to end the children of a role: tell each once to drain, and replace none that has."""
        self._ending = True
        for seat in self.seats:
            if seat.role == role and not seat.retired:
                seat.retire()
        for child in self.children(role):
            child.tell_once("drain")

    def gone(self, role: Role) -> bool:
        """Whether every child of a role has ended and none will follow."""
        return all(seat.phase is Phase.ENDED for seat in self.seats if seat.role == role)

    def accepting(self) -> bool:
        """Whether a worker may still be taking connections."""
        return any(child.state < State.DRAINING for child in self.children("worker"))

    def kill(self, role: Role) -> None:
        """SIGKILL to every child of a role that lives; ``tick`` sees them end."""
        for child in self.children(role):
            log.warning("%s (process %d) is killed: it has not ended in time", child.name, child.pid)
            child.kill()

    def stop_replacing(self) -> None:
        """From now on nobody is started."""
        self._closed = True

    @property
    def empty(self) -> bool:
        """Whether no child lives."""
        return not self._children

    def filled(self) -> int:
        """Number of seats with a process."""
        return sum(seat.phase in FILLED for seat in self.seats)

    def close(self) -> None:
        """Give the page back; children must have ended."""
        self.page.close()
        self._buckets.close()
        os.close(self._fds.page)
