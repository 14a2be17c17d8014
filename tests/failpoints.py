"""Failpoints: a process of the daemon dies, stops or meets an I/O error at a chosen place, once.

``TRACKFLOWD_FAILPOINT=name:n:action[,…]`` for ``python -m tests.daemon run``: the nth time a process
comes to the point ``name`` (a row of ``POINTS``) it is killed (``kill``, SIGKILL), stopped (``stop``,
SIGSTOP) or gets ``OSError(EIO)`` there (``eio``). Each of them happens once, however often processes
are replaced: whoever is to act first makes a file in the directory of marks
(``TRACKFLOWD_FAILPOINT_MARKS``, a temporary one by default), and finds it made the next time. A mark
is called ``INDEX-NAME`` after its place in the list and holds the process id.

The product knows nothing of this: the launcher puts wrappers around its functions in the children
before they begin (``install``), around no others than those that are named.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import importlib
import os
import signal
import tempfile
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trackflowd.errors import StoreDoubt

VARIABLE = "TRACKFLOWD_FAILPOINT"
MARKS = "TRACKFLOWD_FAILPOINT_MARKS"
#: What children get instead of VARIABLE, which they refuse like the shipped daemon.
_CARRIED = "TESTS_FAILPOINT"
_CARRIED_MARKS = "TESTS_FAILPOINT_MARKS"

ACTIONS = ("kill", "stop", "eio")

Function = Callable[..., Any]
#: Makes of a function one that comes to a point on its way.
Where = Callable[[Function, "Trigger"], Function]


class Trigger:
    """A point in this process, with all charges laid there."""

    def __init__(self, charges: Sequence[Charge], marks: Path) -> None:
        self._charges = charges
        self._marks = marks
        self._reached = 0

    def due(self) -> str:
        """The process is at the point: what is to happen to it now, or ""."""
        self._reached += 1
        for charge in self._charges:
            if charge.number == self._reached and self._claim(charge.mark):
                return charge.action
        return ""

    def reach(self) -> None:
        """The process is at the point: let happen to it what is due."""
        if action := self.due():
            act(action)

    def _claim(self, mark: str) -> bool:
        try:
            fd = os.open(self._marks / mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return False
        os.write(fd, b"%d" % os.getpid())
        os.close(fd)
        return True


def act(action: str) -> None:
    """Do it to this process."""
    if action == "eio":
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    os.kill(os.getpid(), signal.SIGKILL if action == "kill" else signal.SIGSTOP)


def before(real: Function, trigger: Trigger) -> Function:
    """The point lies before the function is entered."""

    @functools.wraps(real)
    def wrapped(*args: Any, **more: Any) -> Any:
        trigger.reach()
        return real(*args, **more)

    return wrapped


def after(real: Function, trigger: Trigger) -> Function:
    """The point lies after the function has returned, before its caller goes on."""

    @functools.wraps(real)
    def wrapped(*args: Any, **more: Any) -> Any:
        value = real(*args, **more)
        trigger.reach()
        return value

    return wrapped


def only(condition: Callable[..., bool], where: Where) -> Where:
    """The point is come to only where condition, given the arguments before the call, holds."""

    def make(real: Function, trigger: Trigger) -> Function:
        wrapped = where(real, trigger)

        @functools.wraps(real)
        def chosen(*args: Any, **more: Any) -> Any:
            return (wrapped if condition(*args) else real)(*args, **more)

        return chosen

    return make


def staged(writer: Any, *_: Any) -> bool:
    """Whether a ring's writer holds records that are not published."""
    return bool(writer.staged != writer.head)


def half_answer(real: Function, trigger: Trigger) -> Function:
    """In the middle of ``Door.write(data)``: half of the bytes are with the kernel, the rest is not."""

    def write(door: Any, data: bytes) -> None:
        transport = door._transport
        if transport and not transport.get_write_buffer_size() and (action := trigger.due()):
            sent = os.write(transport.get_extra_info("socket").fileno(), data[: len(data) // 2])
            act(action)
            data = data[sent:]
        real(door, data)

    return write


def half_write(real: Function, trigger: Trigger) -> Function:
    """In the middle of ``_write_all(fd, raw, offset)``: half of the bytes are in the file."""

    def write_all(fd: int, raw: bytes, offset: int) -> None:
        if action := trigger.due():
            real(fd, raw[: len(raw) // 2], offset)
            act(action)
        real(fd, raw, offset)

    return write_all


def half_batch(real: Function, trigger: Trigger) -> Function:
    """In the middle of ``insert(batch)``: the store has half of the rows, which one block never shows."""

    def insert(sink: Any, batch: Any) -> None:
        if batch.rows > 1 and (action := trigger.due()):
            rows = batch.rows // 2
            columns = {name: values[:rows] for name, values in batch.columns.items()}
            real(sink, dataclasses.replace(batch, rows=rows, columns=columns))
            act(action)
            raise StoreDoubt("a failpoint let half of it through")
        real(sink, batch)

    return insert


@dataclass(frozen=True, slots=True)
class Point:
    """A place where a process may be hit.

    Args:
        name: as VARIABLE names it; w1 to f8 are those of the fault list, s and q on the way by spool and quarantine.
        role: of the process.
        target: "module:name" or "module:Class.name" of the function it lies at; "": the code of a
            build that is wrong on purpose calls ``reach`` itself.
        where: at which place of the function.
        about: what has happened there and what has not.
    """

    name: str
    role: Literal["worker", "flusher"]
    target: str
    where: Where
    about: str


_WRITER = "trackflowd.ring.writer:Writer."
_SINK = "trackflowd.sink.clickhouse:ClickHouseSink."
_JOURNAL = "trackflowd.journal:Journal."
_TAIL = "trackflowd.ring.reader:Reader.store_tail"
_SPOOL = "trackflowd.spool:Spool."
_ASIDE = "trackflowd.quarantine:Quarantine."

POINTS: tuple[Point, ...] = (
    Point("w0", "worker", "", before, "between two stores of a head that is published in two (wrong builds only)"),
    Point("w1", "worker", "trackflowd.ring.writer:crc32", before, "record copied, its crc not yet"),
    Point("w2", "worker", _WRITER + "publish", only(staged, before), "records whole, head not moved"),
    Point("w3", "worker", _WRITER + "publish", only(staged, after), "head moved, nothing answered"),
    Point("w4", "worker", "trackflowd.door:Door.write", half_answer, "half of the answer is sent"),
    Point("w5", "worker", _WRITER + "append", only(staged, before), "between two requests of one read"),
    Point("w6", "worker", _WRITER + "_put_pad", after, "lap filled with a pad, the next not begun"),
    Point("f1", "flusher", _JOURNAL + "cut", before, "batch chosen, not in the journal"),
    Point("f2", "flusher", "trackflowd.journal:_write_all", half_write, "half of a journal entry is written"),
    Point("f3", "flusher", _JOURNAL + "cut", after, "batch in the journal, nothing else"),
    Point("f4-", "flusher", _SINK + "insert", before, "batch about to be sent"),
    Point("f4", "flusher", _SINK + "insert", after, "store has the batch, its answer is not acted upon"),
    Point("f4/2", "flusher", _SINK + "insert", half_batch, "store has half of the batch"),
    Point("f5-", "flusher", _JOURNAL + "done", before, "batch confirmed, not marked done"),
    Point("f5", "flusher", _TAIL, before, "batch done, tail not moved"),
    Point("f6", "flusher", _TAIL, after, "tail moved, nothing removed"),
    Point("f7", "flusher", _SINK + "count", after, "store was asked about a batch in doubt"),
    Point("f8-", "flusher", _SINK + "delete", before, "half a batch is to be deleted"),
    Point("f8", "flusher", _SINK + "delete", after, "half a batch is deleted, not sent again"),
    Point("f9", "flusher", _JOURNAL + "attempt", after, "fresh attempt in the journal, not sent"),
    Point("s1", "flusher", _SPOOL + "put", before, "batch to be spooled, nothing written"),
    Point("s2", "flusher", _SPOOL + "put", after, "segment in place, the journal does not know"),
    Point("s3", "flusher", _JOURNAL + "spooled", after, "batch spooled, its ring not given free"),
    Point("s4", "flusher", _SPOOL + "remove", before, "spooled batch settled, its segment not removed"),
    Point("q1", "flusher", _ASIDE + "put_row", after, "row set aside, the journal does not know"),
    Point("q2", "flusher", _JOURNAL + "quarantined", after, "row settled as set aside, nothing removed"),
)
BY_NAME = {point.name: point for point in POINTS}


@dataclass(frozen=True, slots=True)
class Charge:
    """One item of VARIABLE.

    Args:
        index: its place in the list.
        point: a name of POINTS.
        number: it acts at that reach of a process, from 1.
        action: one of ACTIONS.
    """

    index: int
    point: str
    number: int
    action: str

    @property
    def mark(self) -> str:
        """Name of its mark."""
        return f"{self.index}-{self.point.replace('/', '_')}"


def parse(text: str) -> list[Charge]:
    """What VARIABLE says.

    Raises:
        ValueError: it says something else.
    """
    charges = []
    for index, item in enumerate(filter(None, text.split(","))):
        name, _, rest = item.partition(":")
        number, _, action = rest.partition(":")
        if name not in BY_NAME or action not in ACTIONS or not number.isdigit() or not int(number):
            points = " ".join(BY_NAME)
            raise ValueError(f"{item!r} is not NAME:N:ACTION; names: {points}; actions: {' '.join(ACTIONS)}")
        charges.append(Charge(index, name, int(number), action))
    return charges


def carry(env: MutableMapping[str, str]) -> None:
    """In the launcher: hand what VARIABLE says on to the children, past the refusal of the product.

    Raises:
        ValueError: see ``parse``.
    """
    text = env.pop(VARIABLE, "")
    parse(text)
    env[_CARRIED] = text
    env[_CARRIED_MARKS] = env.pop(MARKS, "") or (tempfile.mkdtemp(prefix="failpoints-") if text else "")


def fired(marks: Path) -> dict[str, int]:
    """Charges that have acted: process id by name of the mark."""
    return {path.name: int(path.read_text() or 0) for path in marks.iterdir()}


_TRIGGERS: dict[str, Trigger] = {}


def reach(name: str) -> None:
    """Called by the code of a wrong build at a point without a target."""
    if trigger := _TRIGGERS.get(name):
        trigger.reach()


def install(role: str) -> None:
    """In a child, before it begins: lay the charges that its environment names for its role."""
    charges, marks = parse(os.environ.get(_CARRIED, "")), Path(os.environ.get(_CARRIED_MARKS, ""))
    for point in POINTS:
        laid = [charge for charge in charges if charge.point == point.name]
        if laid and point.role == role:
            _TRIGGERS[point.name] = Trigger(laid, marks)
            if point.target:
                replace(point.target, functools.partial(_at, point))


def _at(point: Point, real: Function) -> Function:
    return point.where(real, _TRIGGERS[point.name])


def replace(target: str, make: Callable[[Function], Function]) -> None:
    """Put make(what is there) at "module:name" or "module:Class.name"."""
    module, _, path = target.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    setattr(owner, name, make(getattr(owner, name)))
