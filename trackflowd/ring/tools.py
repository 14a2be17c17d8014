"""Looking at a ring file, also while it is in use: ``trackflow ring check`` and ``trackflow ring dump``.

Nothing here writes. A ring in use moves on under the eyes of the looker; what was given back to the
writer meanwhile is not called damaged.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trackflowd.errors import RecordError, RingDamaged
from trackflowd.event import CACHED_PARTS
from trackflowd.proto import record
from trackflowd.ring.file import boot_id, info, open_for_reader, writer_of
from trackflowd.ring.layout import ATTEMPT, CLIENT_ID, Record
from trackflowd.ring.reader import Damage, Reader

_ROWS, _BYTES = 10_000, 8 * 1024 * 1024


def check(path: Path) -> dict[str, Any]:
    """Walk a ring from tail to head, of another boot as far as it goes, and prove every record.

    Returns:
        ``file``, ``ok``, ``error`` (why it cannot be used, or "") and, where the header can be read:
        ``slot``, ``uuid``, ``boot`` ("this" or the other's id), ``capacity``, ``writer`` (process id, 0:
        none or unknown), ``head``, ``tail``, ``synced``, ``failed``, ``used`` and ``fill`` (0-1), ``records``,
        ``past_head`` (of those: found past the head), ``payload_bytes``, ``unreadable`` (proven, but
        not of a format this version decodes), ``oldest`` and ``newest`` (ISO 8601 or None) and
        ``damage`` (list of ``start``, ``end``, ``bytes``). ``ok`` means: usable, nothing damaged or unreadable.
    """
    found = info(path)
    report: dict[str, Any] = {"file": str(path), "ok": False, "error": found.error}
    if found.header is None:
        return report
    header = found.header
    boot = "this" if header.boot == boot_id() else str(uuid.UUID(bytes=header.boot))
    report |= {"slot": header.slot, "uuid": header.uuid.hex(), "boot": boot, "capacity": header.capacity}
    report |= {"writer": writer_of(path)}
    if found.error:
        return report
    try:
        reader = open_for_reader(path, writable=False)
    except (RingDamaged, OSError) as error:
        report["error"] = str(error)
        return report
    try:
        report |= _positions(reader) | _walk(reader)
    except RingDamaged as error:
        report["error"] = error.text
        return report
    finally:
        reader.close()
    report["ok"] = not report["damage"] and not report["unreadable"]
    return report


def dump(path: Path, limit: int = sys.maxsize) -> Iterator[dict[str, Any]]:
    """What is in a ring, oldest first: one dict for each record or damaged place.

    Args:
        path: the file.
        limit: at most so many.

    Yields:
        ``position``, ``end``, ``event_id``, ``site_hash``, ``received`` (ISO 8601), ``flags`` (list of names),
        ``event`` (fields by name; None with ``error`` when it does not decode); or ``damage`` with
        ``start``, ``end``, ``bytes``.

    Raises:
        RingDamaged: not a ring that can be read.
        OSError: the file cannot be opened.
    """
    reader = open_for_reader(path, writable=False)
    try:
        for n, item in enumerate(_items(reader, min(limit, _ROWS))):
            if n >= limit:
                return
            if isinstance(item, Damage):
                yield {"damage": _place(item)}
            else:
                yield {"position": item[0], "end": item[1], **described(item)}
    finally:
        reader.close()


def _positions(reader: Reader) -> dict[str, Any]:
    tail, head = reader.tail, reader.head
    used = head - tail
    return {
        "head": head,
        "tail": tail,
        "synced": reader.synced,
        "failed": reader.failed,
        "used": used,
        "fill": round(used / reader.capacity, 4),
    }


def _walk(reader: Reader) -> dict[str, Any]:
    head = reader.head
    records = past = size = unreadable = 0
    oldest = newest = 0
    damage: list[Damage] = []
    for item in _items(reader, _ROWS):
        if isinstance(item, Damage):
            damage.append(item)
            continue
        records += 1
        position, _, _, _, received, _, payload = item
        past += position >= head
        size += len(payload)
        unreadable += _decoded(payload) is None
        oldest, newest = min(oldest or received, received), max(newest, received)
    return {
        "records": records,
        "past_head": past,
        "payload_bytes": size,
        "unreadable": unreadable,
        "oldest": _time(oldest) if records else None,
        "newest": _time(newest) if records else None,
        "damage": [_place(item) for item in damage if item.start >= reader.tail],
    }


def _items(reader: Reader, rows: int) -> Iterator[Record | Damage]:
    """Records and damaged places from tail to head, or to the last record of another boot's ring."""
    position = reader.tail
    end = reader.head if reader.boot == boot_id() else reader.salvage_end(position)
    while position < end:
        records, stopped = reader.records(position, end, rows, _BYTES)
        yield from records
        if records:
            position = records[-1][1]
        damage = reader.damage_at(position, end) if stopped else None
        if damage:
            yield damage
            position = damage.end
        elif not records and not stopped:
            return


def _place(damage: Damage) -> dict[str, int]:
    return {"start": damage.start, "end": damage.end, "bytes": damage.end - damage.start}


def described(row: Record) -> dict[str, Any]:
    """A record for people: ``event_id`` to ``error`` of what ``dump`` yields."""
    _, _, event_id, site, received, flags, payload = row
    event = _decoded(payload)
    shown: dict[str, Any] = {
        "event_id": str(uuid.UUID(bytes=event_id)),
        "site_hash": f"{site:016x}",
        "received": _time(received),
        "flags": [name for name, bit in (("attempt", ATTEMPT), ("client_id", CLIENT_ID)) if flags & bit],
        "event": event,
    }
    return shown if event is not None else shown | {"error": f"{len(payload)} bytes that are no event of this version"}


def _decoded(payload: bytes) -> dict[str, Any] | None:
    """Fields of a payload by name; None when it does not decode."""
    try:
        *parts, event = record.decode(payload)
        fields: dict[str, Any] = dict(zip(record.EVENT_FIELDS, event, strict=True))
        for name, raw in zip(CACHED_PARTS, parts, strict=True):
            fields |= zip(record.PART_FIELDS[name], record.decode_part(raw), strict=True)
    except (RecordError, ValueError, TypeError):
        return None
    return fields


def _time(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"
