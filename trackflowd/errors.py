"""Every error TrackFlow raises on purpose.

::

    TrackflowError
    ├── ConfigError        the operator's: an option, a file, a flag
    ├── DataDirError       the operator's: data directory missing, locked, full or not ours
    ├── Refused            the client's: answered with its status, counted by its code
    │   └── Limited        it sends faster than it may (429, Retry-After)
    ├── RingError          a ring file cannot be used
    │   ├── RingFull       no space until the flusher moves the tail (503, Retry-After)
    │   ├── RecordTooLarge a record or request the ring could never take
    │   ├── RingLocked     another process holds it
    │   └── RingDamaged    a header or record that fails its checks
    ├── RecordError        bytes that are not a row of any version we know
    ├── JournalError       the batch journal cannot be read or written
    ├── SpoolFull          a batch that waits for the store finds no room in the spool
    ├── SegmentDamaged     a spool or quarantine file that is none, damaged or of a later format
    ├── SinkError          the store's
    │   ├── StoreAway      nothing was sent, or nothing can have been kept: try again later
    │   ├── StoreDoubt     the batch may or may not be there: ask before anything else
    │   │   └── StoreFailed the store itself said no, with an error that may pass or stay
    │   └── StoreReject    the store will never take this as it is
    ├── EngineBroken       the embedded store failed to write and does not know it: only a fresh process can ask it
    ├── QueryError         the asker's: not allowed, wrong SQL, or over a limit
    │   └── AnswerTooLong  that of rows or bytes of the answer
    ├── GeoError           a geo database that cannot be fetched, read or trusted
    ├── StackError         the Docker engine's, or what is asked of it: not there, a port taken, an image missing
    └── ControlError       the control socket: nobody there, or a frame that makes no sense

Each carries a stable ``code`` for machines, a text for people and, where there is one, a
``hint`` that says what to do. Only ``cli`` may end the process.
"""

from __future__ import annotations


class TrackflowError(Exception):
    """Base of the tree.

    Args:
        text: what is wrong, for a person.
        hint: what to do about it, or "".
    """

    code = "error"

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.text} ({self.hint})" if self.hint else self.text


class ConfigError(TrackflowError):
    code = "config"


class DataDirError(TrackflowError):
    code = "data_dir"


class Refused(TrackflowError):
    """A request or an event that is not taken.

    Args:
        status: HTTP status to answer with when the whole request is refused.
        code: machine-readable name, one of ``proto.refusals``' table.
        reason: text for the sender; never holds the client's address.
    """

    def __init__(self, status: int, code: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.code = code
        #: Events it counts as, and seconds after which to send them again; 0: nothing is said of that.
        self.events, self.retry_after = 1, 0


class Limited(Refused):
    """A request above a limit of its sender; nothing of it was taken.

    Args:
        status, code, reason: see ``Refused``.
        retry_after: seconds until it would be taken, ≥ 1.
        events: how many it held.
    """

    def __init__(self, status: int, code: str, reason: str, retry_after: int, events: int) -> None:
        super().__init__(status, code, reason)
        self.retry_after, self.events = retry_after, events


class RingError(TrackflowError):
    code = "ring"


class RingFull(RingError):
    code = "ring_full"


class RecordTooLarge(RingError):
    code = "record_too_large"


class RingLocked(RingError):
    code = "ring_locked"


class RingDamaged(RingError):
    code = "ring_damaged"


class RecordError(TrackflowError):
    code = "record"


class JournalError(TrackflowError):
    code = "journal"


class SpoolFull(TrackflowError):
    code = "spool_full"


class SegmentDamaged(TrackflowError):
    code = "segment_damaged"


class SinkError(TrackflowError):
    code = "store"


class StoreAway(SinkError):
    code = "store_away"


class StoreDoubt(SinkError):
    code = "store_doubt"


class StoreFailed(StoreDoubt):
    code = "store_failed"


class StoreReject(SinkError):
    code = "store_reject"


class EngineBroken(TrackflowError):
    code = "engine_broken"


class QueryError(TrackflowError):
    code = "query"


class AnswerTooLong(QueryError):
    """The code is that of all queries: what an asker does about it is the same."""


class GeoError(TrackflowError):
    code = "geo"


class StackError(TrackflowError):
    code = "stack"


class ControlError(TrackflowError):
    code = "control"
