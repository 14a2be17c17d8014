"""Looking at ring files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.rings import BOOT
from trackflowd.errors import RingDamaged
from trackflowd.event import CACHED_PARTS
from trackflowd.proto import record
from trackflowd.ring import file as ring_file
from trackflowd.ring import tools
from trackflowd.ring.file import RingFile, open_for_reader, open_for_writer
from trackflowd.ring.layout import ATTEMPT, CLIENT_ID, HEAD_AT, HEADER_SIZE, encode_word
from trackflowd.ring.writer import Row

RECEIVED = 1_790_000_000_000
SIZE = 2048


def event(n: int) -> Row:
    """A real row: every text its field's name, every number n. Its record fills SIZE bytes exactly."""
    page, source, agent, place, client = (
        record.encode_part([n if field == "asn" else field for field in record.PART_FIELDS[name]])
        for name in CACHED_PARTS
    )
    values: list[Any] = [{"key": "value"} if field == "props" else n for field in record.EVENT_FIELDS]
    values[record.EVENT_FIELDS.index("session")] = ""
    body = record.encode(page, source, agent, place, client, values)
    # A text of more than 255 bytes has two bytes more before it than an empty one.
    values[record.EVENT_FIELDS.index("session")] = "x" * (SIZE - 56 - len(body) - 2)
    body = record.encode(page, source, agent, place, client, values)
    assert len(body) == SIZE - 56
    return n.to_bytes(16, "big"), n, RECEIVED + n, (0, ATTEMPT, CLIENT_ID, ATTEMPT | CLIENT_ID)[n % 4], body


def made(directory: Path, rows: list[Row]) -> RingFile:
    ring = open_for_writer(directory, 5, 64 * 1024)
    for one in rows:
        ring.writer.append([one])
    ring.writer.publish()
    return ring


def poke(path: Path, at: int, raw: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(raw)


def test_a_sound_ring_in_use_is_reported_with_its_figures(tmp_path: Path) -> None:
    with made(tmp_path, [event(n) for n in range(3)]) as ring:
        report = tools.check(ring.path)
        header = ring.writer.header
        assert report == {
            "file": str(ring.path), "ok": True, "error": "", "slot": 5, "uuid": header.uuid.hex(), "boot": "this",
            "capacity": 65536, "writer": os.getpid(), "head": 3 * SIZE, "tail": 0, "synced": 0, "failed": False,
            "used": 3 * SIZE, "fill": round(3 * SIZE / 65536, 4), "records": 3, "past_head": 0,
            "payload_bytes": 3 * (SIZE - 56), "unreadable": 0,
            "oldest": "2026-09-21T14:13:20.000+00:00", "newest": "2026-09-21T14:13:20.002+00:00",
            "damage": [],
        }  # fmt: skip
    assert tools.check(ring.path)["writer"] == 0
    json.dumps(report)


def test_an_empty_ring_is_sound(tmp_path: Path) -> None:
    with made(tmp_path, []) as ring:
        report = tools.check(ring.path)
    assert (report["ok"], report["records"], report["oldest"], report["newest"]) == (True, 0, None, None)
    assert list(tools.dump(ring.path)) == []


def test_damage_is_told_with_its_place(tmp_path: Path) -> None:
    with made(tmp_path, [event(n) for n in range(3)]) as ring:
        poke(ring.path, HEADER_SIZE + SIZE + 100, b"\xff\xff")
        report = tools.check(ring.path)
        assert not report["ok"]
        assert report["records"] == 2
        assert report["damage"] == [{"start": SIZE, "end": 2 * SIZE, "bytes": SIZE}]
        assert [item.get("damage") for item in tools.dump(ring.path)] == [None, report["damage"][0], None]


def test_records_that_are_proven_but_do_not_decode_are_counted(tmp_path: Path) -> None:
    bad = [b"not msgpack", b"\x97\x63" + b"\xc4\x00" * 5 + b"\x90", b"\x97\x01" + b"\xc4\x00" * 5 + b"\x90"]
    with made(tmp_path, [event(1), *((bytes(16), 0, 0, 0, body) for body in bad)]) as ring:
        report = tools.check(ring.path)
        assert (report["ok"], report["records"], report["unreadable"]) == (False, 4, 3)
        shown = list(tools.dump(ring.path))
        assert [item["event"] is None for item in shown] == [False, True, True, True]
        assert shown[1]["error"] == "11 bytes that are no event of this version"


def test_a_file_that_is_no_ring_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "0-x.ring"
    path.write_bytes(b"something else")
    report = tools.check(path)
    assert set(report) == {"file", "ok", "error"}
    assert not report["ok"]
    assert "not a ring" in report["error"]
    with pytest.raises(RingDamaged, match="not a ring"):
        list(tools.dump(path))
    assert tools.check(tmp_path / "missing")["error"] == "No such file or directory"


def test_a_ring_with_a_damaged_cursor_is_told_so_and_who_it_is(tmp_path: Path) -> None:
    with made(tmp_path, [event(1)]) as ring:
        poke(ring.path, HEAD_AT, bytes(8))
        report = tools.check(ring.path)
    assert (report["ok"], report["slot"]) == (False, 5)
    assert "damaged head" in report["error"]
    assert "records" not in report


def test_a_ring_of_another_boot_is_looked_at_past_its_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        before.setattr(ring_file, "boot_id", lambda: BOOT)
        ring = made(tmp_path, [event(n) for n in range(4)])
        ring.close()
    poke(ring.path, HEAD_AT, encode_word(SIZE).to_bytes(8, "little"))
    report = tools.check(ring.path)
    assert (report["ok"], report["records"], report["past_head"]) == (True, 4, 3)
    assert report["boot"].replace("-", "") == BOOT.hex()
    assert len(list(tools.dump(ring.path))) == 4


def test_a_dump_shows_events_by_field_oldest_first(tmp_path: Path) -> None:
    with made(tmp_path, [event(n) for n in range(4)]) as ring:
        shown = list(tools.dump(ring.path))
        assert [item["flags"] for item in shown] == [[], ["attempt"], ["client_id"], ["attempt", "client_id"]]
        third = shown[2]
        assert third["event_id"] == "00000000-0000-0000-0000-000000000002"
        assert (third["position"], third["end"], third["site_hash"]) == (2 * SIZE, 3 * SIZE, "0000000000000002")
        assert third["received"] == "2026-09-21T14:13:20.002+00:00"
        assert third["event"]["url"] == "url"
        assert third["event"]["asn"] == 2
        assert third["event"]["props"] == {"key": "value"}
        assert len(third["event"]) == len(record.EVENT_FIELDS) + sum(map(len, record.PART_FIELDS.values()))
        assert [item["position"] for item in tools.dump(ring.path, 2)] == [0, SIZE]
        assert list(tools.dump(ring.path, 0)) == []
        json.dumps(shown)


def test_looking_changes_nothing(tmp_path: Path) -> None:
    with made(tmp_path, [event(n) for n in range(4)]) as ring:
        before = ring.path.read_bytes()
        tools.check(ring.path)
        list(tools.dump(ring.path))
        assert ring.path.read_bytes() == before


def test_what_was_given_back_during_the_look_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with made(tmp_path, [event(n) for n in range(4)]) as ring:
        poke(ring.path, HEADER_SIZE + SIZE + 100, b"\xff\xff")  # as if the writer were there already
        items = tools._items

        def and_meanwhile(reader: Any, rows: int) -> Any:
            flusher = open_for_reader(ring.path)
            flusher.store_tail(2 * SIZE)
            flusher.close()
            reader = _Earlier(reader)
            return items(reader, rows)

        monkeypatch.setattr(tools, "_items", and_meanwhile)
        report = tools.check(ring.path)
    assert report["damage"] == []


class _Earlier:
    """A reader that read the tail before it moved."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.tail = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


def test_a_time_that_is_none_is_shown_as_the_number_it_is(tmp_path: Path) -> None:
    with made(tmp_path, [(bytes(16), 0, 2**64 - 1, 0, b"")]) as ring:
        assert tools.check(ring.path)["oldest"] == "18446744073709551615 ms"
