from __future__ import annotations

from pathlib import Path

from trackflowd import ringview
from trackflowd.ring import file


def test_a_ring_is_seen_filling_and_emptying(tmp_path: Path) -> None:
    ring = file.open_for_writer(tmp_path, 3, 65536)
    (fill,) = ringview.look(tmp_path)
    assert (fill.slot, fill.capacity, fill.used, fill.fill, fill.damage) == (3, 65536, 0, 0.0, "")
    ring.writer.append([(bytes(16), 1, 1, 0, b"x" * 1000)])
    ring.writer.publish()
    (fill,) = ringview.look(tmp_path)
    assert 1000 <= fill.used == fill.head < 1100
    assert fill.as_dict()["fill"] == round(fill.used / 65536, 4)
    reader = file.open_for_reader(ring.path)
    reader.store_tail(fill.head)
    assert ringview.look(tmp_path)[0].used == 0


def test_what_is_not_synced_yet_and_a_ring_that_failed_are_seen(tmp_path: Path) -> None:
    with file.open_for_writer(tmp_path, 0, 65536) as ring:
        ring.writer.append([(bytes(16), 1, 1, 0, b"x" * 1000)])
        ring.writer.publish()
        first = ring.writer.head
        ring.store_synced(first)
        ring.writer.append([(bytes(16), 1, 1, 0, b"x" * 1000)])
        ring.writer.publish()
        shown = ringview.look(tmp_path)[0].as_dict()
        assert (shown["synced"], shown["head"], shown["failed"]) == (first, 2 * first, False)
        ring.store_failed(first)
        shown = ringview.look(tmp_path)[0].as_dict()
        assert (shown["head"], shown["used"], shown["failed"], shown["damage"]) == (first, first, True, "")


def test_a_file_that_is_no_ring_is_shown_and_harms_nothing(tmp_path: Path) -> None:
    (tmp_path / "0-a.ring").write_bytes(b"")
    (tmp_path / "1-b.ring").write_bytes(b"\xff" * 8192)
    fills = ringview.look(tmp_path)
    assert [fill.file for fill in fills] == ["0-a.ring", "1-b.ring"]
    assert all(fill.damage and fill.used == 0 and fill.fill == 0 for fill in fills)


def test_a_damaged_cursor_is_said(tmp_path: Path) -> None:
    path = file.open_for_writer(tmp_path, 0, 65536).path
    with path.open("r+b") as opened:
        opened.seek(128)
        opened.write(b"\xff" * 8)
    assert "check does not fit" in ringview.look(tmp_path)[0].damage


def test_a_directory_without_rings_has_none(tmp_path: Path) -> None:
    assert list(ringview.look(tmp_path / "nowhere")) == []
