"""The formats on disk, and the golden files that hold later versions of the code to them.

``python -m tests.golden.make`` writes the files of today's versions that are not there yet, each format into
``NAME-vVERSION/``: what a data directory holds of it, and ``expected.json``, what today's code reads from that. A
directory once written is never changed: the code of later versions has to read the same from it. After raising a
format's version run it again and add the new directory. A new format of files is one more row of ``FORMATS``.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.rings import BOOT, UUID
from tests.rows import NOW, SITE, event_id, row, site_hash
from trackflowd import journal, segment, window
from trackflowd.cuts import Cut, Moved, Part, Range
from trackflowd.journal import Journal
from trackflowd.proto import record
from trackflowd.ring import layout, tools
from trackflowd.ring.layout import Header, Record, build_header
from trackflowd.ring.reader import Reader
from trackflowd.ring.writer import Writer
from trackflowd.window import Window

HERE = Path(__file__).parent
EXPECTED = "expected.json"

#: Where a batch's cut had left the id window: see ``make_window``.
MARK = (2, 2)


@dataclass(frozen=True, slots=True)
class Format:
    """A format on disk.

    Args:
        name: its golden files are in ``name-vVERSION``.
        version: the one this code writes.
        crc_at: offset of the crc32 of all bytes of a file's header before it, which holds the version as a u32 at
            offset 8; 0: files have no such header of this format.
        make: writes files of it into an empty directory.
        read: what the code makes of the files in a directory, as JSON can hold it. TrackflowError: it refuses them.
    """

    name: str
    version: int
    crc_at: int
    make: Callable[[Path], None]
    read: Callable[[Path], Any]


def make_ring(directory: Path) -> None:
    """A ring on its second lap: records the store has, some it has not, a pad."""
    memory = bytearray(build_header(Header(8192, UUID, BOOT, 3)) + bytes(8192))
    writer, reader = Writer(memory), Reader(memory)
    for n in range(20):
        writer.append([row(n, NOW + n, flags=n % 4)])
        writer.publish()
        if writer.used > 6000:
            records, _ = reader.records(reader.tail, reader.head, 2, 2**30)
            reader.store_tail(records[-1][1])
    assert reader.tail // 8192 < reader.head // 8192, "not on its second lap"
    (directory / f"3-{UUID.hex()}.ring").write_bytes(memory)


def read_ring(directory: Path) -> Any:
    (path,) = directory.glob("*.ring")
    records = list(tools.dump(path))
    report = tools.check(path)
    return {name: report[name] for name in ("slot", "uuid", "boot", "head", "tail", "damage")} | {"records": records}


def make_record(directory: Path) -> None:
    """A ring with records of sites that store addresses, and between them one of a site that does not."""
    memory = bytearray(build_header(Header(8192, UUID, BOOT, 3)) + bytes(8192))
    writer = Writer(memory)
    writer.append([row(n, NOW + n, ip=ip) for n, ip in ((1, "2001:db8::1"), (8, ""), (15, "203.0.113.9"))])
    writer.publish()
    (directory / f"3-{UUID.hex()}.ring").write_bytes(memory)


def make_journal(directory: Path) -> None:
    """A batch that is done, one sent again, one with records left out, damage, and a ring that is gone."""
    other = bytes(reversed(UUID))

    def cut(n: int, *ranges: Range, rows: int) -> Cut:
        return Cut(2**100 + n, NOW + n, 1, "chdb:x", 202511, rows, 0xDEADBEEF - n, 1, (1, n), ranges)

    written = Journal(directory, keep=lambda span: True, file_size=4096)
    written.cut(cut(1, Range(UUID, 0, 4000, 10), Range(other, 0, 800, 2), rows=12))
    written.done(2**100 + 1)
    written.gap(UUID, 4000, 4096)
    written.cut(cut(2, Range(UUID, 4096, 8000, 20, left_out=0b1010_0000_0001), rows=17))
    written.attempt(2**100 + 2, 2)
    written.cut(cut(3, Range(UUID, 8000, 9000, 4), rows=4))
    written.gone(other)
    spooled, pieces = cut(4, Range(UUID, 9000, 9900, 6), rows=6), [cut(n, rows=3) for n in (5, 6)]
    written.cut(spooled, dataclasses.replace(cut(7, Range(UUID, 9000, 9900, 6, left_out=0b011111), rows=1), ask=True))
    written.spooled(2**100 + 4)
    written.cut(
        *(
            dataclasses.replace(piece, segment=2**100 + 4, part=Part(3 * n, 3 * n + 3, left_out=n << 1))
            for n, piece in enumerate(pieces)
        ),
        instead_of=2**100 + 4,
    )
    written.quarantined(2**100 + 6)
    written.switch(Moved("postgresql://db:5432/x", "chdb:", NOW))
    written.close()


def read_journal(directory: Path) -> Any:
    read = Journal(directory, keep=lambda span: True, file_size=4096)
    state = read.state
    found = {
        "open": [dataclasses.asdict(one) for one in state.open.values()],
        "closed": [dataclasses.asdict(one) for one in (ended.cut for ended in read.settled())],
        "marks": {ring.hex(): end for ring, end in state.marks.items()},
        "window": list(state.window),
        "moved": state.moved,
    }
    read.close()
    (directory / "spare").unlink()  # zeroes, or what a version before wrote
    return json.loads(json.dumps(found, default=bytes.hex))


def make_window(directory: Path) -> None:
    """Two generations, and an id in the younger that no journal entry tells of."""
    written = Window(directory, 8, (0, 0), NOW)
    for n in range(7):
        written.add(event_id(n), site_hash(SITE), NOW + n)
    assert written.mark == (MARK[0], MARK[1] + 1)
    written.close()


def read_window(directory: Path) -> Any:
    read = Window(directory, 8, MARK, NOW)
    known = [n for n in range(10) if read.has(event_id(n), site_hash(SITE))]
    found = {"known": known, "ids": read.ids, "since_ms": read.since_ms, "mark": list(read.mark)}
    read.close()
    return found


def make_segment(directory: Path) -> None:
    """Three rows, as the spool keeps them."""
    rows = [Record(0, 0, *row(n, NOW + n, flags=n)) for n in range(3)]
    head = segment.Head("7" * 32, 2, "chdb:x", 202511, 1, 3, NOW, "store away: refused", "8" * 32, 5)
    segment.write(directory / f"{'7' * 32}.segment", head, rows)


def read_segment(directory: Path) -> Any:
    (path,) = directory.glob("*.segment")
    head, rows = segment.read(path)
    return json.loads(json.dumps([dataclasses.asdict(head), [one and list(one) for one in rows]], default=bytes.hex))


FORMATS = (
    Format("ring", layout.VERSION, 60, make_ring, read_ring),
    Format("journal", journal.VERSION, 40, make_journal, read_journal),
    Format("segment", segment.VERSION, 20, make_segment, read_segment),
    Format("window", window.VERSION, 32, make_window, read_window),
)
#: Of what stands in rings and segments; each record says its own version.
RECORD = Format("record", record.VERSION, 0, make_record, read_ring)


def main() -> int:
    """Write what is missing."""
    for each in (*FORMATS, RECORD):
        directory = HERE / f"{each.name}-v{each.version}"
        if not directory.exists():
            directory.mkdir()
            each.make(directory)
            text = json.dumps(each.read(directory), indent=1, ensure_ascii=False)
            (directory / EXPECTED).write_text(text + "\n")
            print(f"{directory.name}: made")
    return 0


if __name__ == "__main__":
    sys.exit(main())
