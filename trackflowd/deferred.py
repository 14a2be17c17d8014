"""Connections whose answers wait for the disk: ``door`` under durability "disk".

A request is read, its rows are published and its answer is made as ever; but the answer stays here
until the disk has the rows. ::

    _serve ─▶ answers ─┬─ no rows, nothing owed ──────────────▶ written at once
                       └─ owed, with the ring's position behind the rows
                            synced reaches it  ───────────────▶ written, all of a connection in one write
                            the ring fails before ────────────▶ 503 in its place: nothing was kept

Answers of one connection stay in order: what has no rows of its own waits behind those that have. A
connection that is owed ``http.max_pipeline`` answers is not read from until it got them, nor is a long
pipeline gone on with; it is neither closed by a drain nor by the end of its input, and what shuts it
waits too. There is no timer per answer: a disk that hangs for longer than ``http.idle_timeout`` makes
that deadline drop the connection, unanswered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import zip_longest
from time import monotonic_ns
from typing import NamedTuple

from trackflowd.door import Door
from trackflowd.hall import Hall
from trackflowd.histogram import GRAIN
from trackflowd.intake import Intake
from trackflowd.proto.http import REST
from trackflowd.proto.request import Reply, Request, reply_to
from trackflowd.ring.syncer import Syncer
from trackflowd.sections import Http


def kept(syncer: Syncer) -> int:
    """Position up to which an answer may say that rows are kept. The seam for tests."""
    return syncer.synced


class Owed(NamedTuple):
    """An answer that waits.

    Args:
        position: of the ring; when it is kept up to there the answer may go.
        answer: its bytes.
        events: rows it stands for.
        reply: form of what is said if they are not kept; None: it stands for no rows, it only waits its turn.
        begun: when its request was read (monotonic, ns); 0: it answers none.
    """

    position: int
    answer: bytes
    events: int = 0
    reply: Reply | None = None
    begun: int = 0


class DeferredHall(Hall):
    """What the connections of a worker share, and whom it owes answers.

    Args:
        http: the options.
        intake: answers requests.
        now: monotonic seconds.
        syncer: of the ring the intake writes; replaced together with it.
    """

    def __init__(self, http: Http, intake: Intake, now: float, syncer: Syncer) -> None:
        super().__init__(http, intake, now)
        self.syncer = syncer
        self._waiting: deque[tuple[int, DeferredDoor]] = deque()  # positions only grow
        self._asked = False

    def owe(self, door: DeferredDoor, one: Owed) -> None:
        """Door is owed an answer that stands for rows. One sync is asked for all of this turn of the loop."""
        self._waiting.append((one.position, door))
        self.owed_answers += 1
        self.owed_events += one.events
        if not self._asked:
            self._asked = True
            door.call_soon(self._ask)

    def settled(self, one: Owed) -> None:
        """An answer is not owed any more."""
        if one.reply is not None:
            self.owed_answers -= 1
            self.owed_events -= one.events

    def _ask(self) -> None:
        self._asked = False
        self.settle()
        if self._waiting:
            self.syncer.wake()

    def settle(self) -> None:
        """Send every answer whose rows are kept."""
        position = kept(self.syncer)
        waiting = self._waiting
        while waiting and waiting[0][0] <= position:
            waiting.popleft()[1].pay(position)

    def refuse(self) -> None:
        """The ring has failed: answer what is not kept with 503."""
        self.settle()
        waiting, self._waiting = self._waiting, deque()
        for _, door in waiting:
            door.refuse()


class DeferredDoor(Door):
    """One connection."""

    __slots__ = ("_made", "_owed", "_shutting")

    _hall: DeferredHall

    def __init__(self, hall: DeferredHall, call_soon: Callable[[Callable[[], None]], object]) -> None:
        super().__init__(hall, call_soon)
        self._made: list[Owed | None] = []  # beside each answer of this turn: what it stands for, if for rows
        self._owed: deque[Owed] = deque()
        self._shutting = False

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        self._hall.bytes_in += len(data)
        if self._lingering:
            return
        self._hall.begun = monotonic_ns()
        try:
            requests = self._conn.receive(data)
            if self._backlog:
                self._backlog += requests
            else:
                self._serve(requests)
        except Exception:
            self._failed()

    def _answer(self, request: Request) -> bytes:
        intake = self._hall.intake
        staged, accepted = intake.staged, intake.accepted
        answer = intake.answer(request, self.peer)
        rows = intake.staged != staged
        begun, events = self._hall.begun, intake.accepted - accepted
        self._made.append(Owed(intake.staged, answer, events, reply_to(request), begun) if rows else None)
        return answer

    def _send(self, answers: Sequence[bytes]) -> None:
        """Send what stands for no rows and has nothing before it; the rest when the disk has the rows."""
        made, self._made = self._made, []
        hall, owed = self._hall, self._owed
        ready = []
        for number, (answer, one) in enumerate(zip_longest(answers, made)):
            if one is not None:
                hall.owe(self, one)
                owed.append(one)
            elif owed:
                # What comes behind all requests' answers ("100 Continue", a refused connection) answers none.
                owed.append(Owed(owed[-1].position, answer, begun=hall.begun if number < len(made) else 0))
            else:
                ready.append(answer)
        if ready:
            self.write(b"".join(ready))
            hall.took[(monotonic_ns() - hall.begun) >> GRAIN] += min(len(ready), len(made))
        if len(owed) >= hall.http.max_pipeline:
            self._read(False)

    def call_soon(self, call: Callable[[], None]) -> None:
        """Have call called in the next turn of the loop."""
        self._call_soon(call)

    def pay(self, position: int) -> None:
        """Send the answers owed up to position."""
        owed, paid = self._owed, []
        while owed and owed[0].position <= position:
            one = owed.popleft()
            self._hall.settled(one)
            paid.append(one)
        self._hand_over(paid, [one.answer for one in paid])

    def refuse(self) -> None:
        """Send 503 instead of every answer owed whose rows are not kept."""
        hall, unpaid = self._hall, list(self._owed)
        self._owed.clear()
        for one in unpaid:
            hall.settled(one)
        retract = hall.intake.retract
        self._hand_over(unpaid, [retract(one.events, one.reply) if one.reply else one.answer for one in unpaid])

    def _hand_over(self, settled: Sequence[Owed], answers: Sequence[bytes]) -> None:
        if answers:
            self.write(b"".join(answers))
            now, took = monotonic_ns(), self._hall.took
            for one in settled:
                if one.begun:
                    took[(now - one.begun) >> GRAIN] += 1
            if not self._owed:
                self._paid()

    def _paid(self) -> None:
        """Nothing is owed any more: go on with what waited for that."""
        if self._shutting:
            self._shutting = False
            self._shut()
        elif self._transport is None or self._lingering:
            return
        elif self._backlog:
            self._call_soon(self._go_on)
        elif self._eof or (self._hall.draining and self._conn.phase == REST):
            self._end()
        elif not self._paused:
            self._read(True)

    def _shut(self) -> None:
        if self._owed:
            self._shutting = True
            self._arm(self._hall.idle_until)  # for a disk that hangs
        else:
            super()._shut()

    def _go_on(self) -> None:
        if self._backlog and not self._owed:
            super()._go_on()

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if len(self._owed) >= self._hall.http.max_pipeline:
            self._read(False)

    def expired(self) -> None:
        """The deadline has passed (called by the hall)."""
        if self._owed and self._conn.phase == REST and not self._paused:
            self._hall.late += 1
            self.abort()  # the disk hangs; there is nothing true to say
        else:
            super().expired()

    def drain(self) -> None:
        """No more requests after those that are owed an answer."""
        if not self._owed:
            super().drain()

    def eof_received(self) -> bool:
        """The client sends no more; True: what it is owed is still to be written."""
        return super().eof_received() or bool(self._owed)
