"""The flusher's part in backups: has the store's events frozen, and brings those of a backup in again.

::

    backup_freeze(name, since_ms)  quarantine and the embedded store's parts, as hard links that do not change
    backup_release(name)           those go
    restore_clear()                what an earlier restore left goes
    restore_stage(name, rows)      parts of ``restore/NAME/parts`` become a table of their own; → into how many buckets
    restore_piece(bucket, of)      one bucket of event ids is merged, in the sender's thread: batches land in between
    restore_end(name)              files of quarantine are taken over, the table and ``restore/NAME`` go

Whoever asks for a freeze has flushed before. A batch that was cut before that flush and is open all the same (a row of
quarantine that is just being retried) would be in no place the backup looks at, so there is no freeze while one is.
The long job ``restore`` (``task_restore``) walks through the others; each may be done twice.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from trackflowd import segment
from trackflowd.backup import IN, MADE_BY, OUT, PARTS, QUARANTINE
from trackflowd.calls import reply_to
from trackflowd.eraser import NO_MONTH, named
from trackflowd.errors import ControlError, DataDirError, SegmentDamaged
from trackflowd.journal import Journal
from trackflowd.sender import Sender
from trackflowd.sink.archive import Archive
from trackflowd.sink.base import Archived, Sink
from trackflowd.sources import Sources

Answer = TypeVar("Answer")

#: Has something done in the flusher's loop; returns its answer.
InLoop = Callable[[Callable[[Future[Any]], object]], Any]


class Archivist:
    """Serves the calls. They come in threads of their own.

    Args:
        sink: its archive is used through the sender only.
        data_dir: the daemon's own.
        journal: what is open.
        sources: quarantine and tombstones.
        sender: speaks to the store.
        in_loop: see ``InLoop``.
    """

    def __init__(
        self, sink: Sink, data_dir: Path, journal: Journal, sources: Sources, sender: Sender, in_loop: InLoop
    ) -> None:
        self._sink = sink
        self._archive = sink.archive if isinstance(sink, Archived) else None
        self._data_dir = data_dir
        self._journal = journal
        self._sources = sources
        self._sender = sender
        self._in_loop = in_loop
        if not busy(data_dir):
            self._sweep("")

    def calls(self) -> dict[str, Callable[..., Any]]:
        """The handlers, by the name of their call."""
        return {
            "backup_freeze": self.freeze,
            "backup_release": self.release,
            "restore_clear": self.clear,
            "restore_stage": self.stage,
            "restore_piece": self.piece,
            "restore_end": self.end,
        }

    def _sweep(self, keep: str) -> None:
        """Remove what backups left that were killed: whoever makes one holds ``busy``'s lock meanwhile."""
        if self._archive is not None:
            self._archive.sweep()
        for path in (self._data_dir / OUT).glob("*"):
            if path.name != keep:
                shutil.rmtree(path, ignore_errors=True)

    # ------------------------------------------------------------------- out

    def freeze(self, name: str, since_ms: int) -> dict[str, Any]:
        """Freeze; ``store`` (its identity), ``parts`` (directory that holds them; "": none) and ``rows``.

        ``rows`` is None where the store has backups of its own.

        Args:
            since_ms: begin of the flush, ms since 1970 UTC.

        Raises:
            ControlError: ``unavailable``: an older batch is open.
            DataDirError: the disk refuses.
        """
        directory = self._data_dir / OUT / name

        def begin(waiting: Future[Any]) -> None:
            if any(cut.at < since_ms for cut in self._journal.state.open.values()):
                raise _error("unavailable", "an older batch is not stored yet", "see `trackflow spool list`")
            # In this order: what leaves quarantine from now on is sent behind the freeze, and what lies in both is
            # one batch, which a retry finds in the store.
            _link(self._sources.quarantine.directory, directory / QUARANTINE)
            self._sender.submit(lambda: self._freeze(name, directory), reply_to(waiting))

        answer: dict[str, Any] = self._in_loop(begin)
        return answer

    def _freeze(self, name: str, directory: Path) -> dict[str, Any]:
        self._sweep(name)
        if self._archive is None:
            return {"store": self._sink.identity, "parts": "", "rows": None}
        frozen = self._archive.freeze(name)
        self._sink.confirm()  # a part the engine failed to write is whole in memory only
        (directory / MADE_BY).write_text(frozen.made_by)
        parts = str(frozen.parts[0].parent) if frozen.parts else ""
        return {"store": self._sink.identity, "parts": parts, "rows": frozen.rows}

    def release(self, name: str) -> bool:
        """Let go of a backup's links."""
        if self._archive is not None:
            self._archive.release(name)
        shutil.rmtree(self._data_dir / OUT / name, ignore_errors=True)
        return True

    # -------------------------------------------------------------------- in

    def clear(self) -> bool:
        """Have nothing be left of an earlier restore."""
        self._by_sender(self._needed().drop)
        return True

    def stage(self, name: str, rows: int) -> int:
        """Make a table of the parts; into how many buckets it is to be merged.

        Raises:
            DataDirError: it has not the rows the backup says.
        """
        archive, directory = self._needed(), self._data_dir / IN / name

        def work() -> tuple[int, int]:
            made_by = (directory / MADE_BY).read_text()
            return archive.stage(directory / PARTS, made_by), archive.buckets()

        try:
            staged, buckets = self._by_sender(work)
        except OSError as error:
            raise DataDirError(f"{error.filename}: {error.strerror}", "begin the restore again") from error
        if staged != rows:
            text = f"the backup has {rows} events, {staged} of them could be read"
            raise DataDirError(text, "begin the restore again, and look at the daemon's log")
        return buckets

    def piece(self, bucket: int, of: int) -> dict[str, int]:
        """Merge one bucket; ``restored``, ``held`` and ``erased`` rows."""
        archive = self._needed()

        def work() -> dict[str, int]:
            merged = archive.merge(bucket, of, without)
            self._sink.confirm()
            return merged._asdict()

        without = self._looped(lambda: self._sources.erasures.of_month(NO_MONTH))
        return self._by_sender(work)

    def end(self, name: str) -> int:
        """Take over what was in quarantine and end; the files taken over."""
        directory = self._data_dir / IN / name
        if self._archive is not None:
            self._by_sender(self._archive.drop)
        taken = self._looped(lambda: sum(self._take(path) for path in sorted((directory / QUARANTINE).glob("*"))))
        shutil.rmtree(directory, ignore_errors=True)
        return taken

    def _take(self, path: Path) -> bool:
        """Move a file into quarantine, unless there is one of its name, or all its rows are erased."""
        place = self._sources.quarantine.directory / path.name
        if place.exists() or self._erased(path):
            return False
        os.rename(path, place)
        return True

    def _erased(self, path: Path) -> bool:
        try:
            _, rows = segment.read(path)
        except (OSError, SegmentDamaged):
            return False  # bytes that cannot be searched; the erasure says so of them
        tombstones = self._sources.erasures.of_month(NO_MONTH)
        return bool(rows) and all(row is not None and any(named(one, row) for one in tombstones) for row in rows)

    def _needed(self) -> Archive:
        if self._archive is None:
            text = f"the events of a backup go into an embedded store (chdb:); this one is {self._sink.identity}"
            raise _error("other_store", text, "restore them into a daemon with store.url = chdb:, or use --state-only")
        return self._archive

    # --------------------------------------------------------------- threads

    def _looped(self, work: Callable[[], Answer]) -> Answer:
        answer: Answer = self._in_loop(lambda waiting: waiting.set_result(work()))
        return answer

    def _by_sender(self, job: Callable[[], Answer]) -> Answer:
        answer: Answer = self._in_loop(lambda waiting: self._sender.submit(job, reply_to(waiting)))
        return answer


def busy(data_dir: Path) -> bool:
    """Whether somebody makes a backup of a data directory, or restores one: they lock its ``tmp``."""
    try:
        fd = os.open(data_dir / "tmp", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def _link(source: Path, target: Path) -> None:
    """Hard links of a directory's files, but for those being written."""
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in source.glob("*"):
            if path.suffix != ".tmp" and not (target / path.name).exists():
                os.link(path, target / path.name)
    except OSError as error:
        raise DataDirError(f"{target}: {error.strerror}", "make room there") from error


def _error(code: str, text: str, hint: str) -> ControlError:
    error = ControlError(text, hint)
    error.code = code
    return error
