"""Ring files: made, locked, taken over, found, removed."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rings import row, walk
from trackflowd.errors import DataDirError, RingDamaged, RingLocked
from trackflowd.ring import file as ring_file
from trackflowd.ring.file import (
    create,
    has_writer,
    info,
    open_for_reader,
    open_for_writer,
    remove_if_orphan,
    scan,
    writer_of,
)
from trackflowd.ring.layout import HEAD_AT, HEADER_SIZE, LAST_POSITION, TAIL_AT, encode_word

CAPACITY = 64 * 1024


def poke(path: Path, at: int, raw: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(raw)


def test_a_new_ring_is_whole_private_and_named_by_slot_and_uuid(tmp_path: Path) -> None:
    with create(tmp_path, 7, CAPACITY) as ring:
        status = ring.path.stat()
        assert ring.path.name == f"7-{ring.writer.header.uuid.hex()}.ring"
        assert status.st_size == HEADER_SIZE + CAPACITY
        assert status.st_blocks * 512 >= status.st_size, "sparse"
        assert status.st_mode & 0o777 == 0o600
        assert ring.writer.header.boot == ring_file.boot_id()
        assert os.listdir(tmp_path) == [ring.path.name]


def test_what_a_writer_publishes_a_reader_of_the_file_sees_at_once(tmp_path: Path) -> None:
    with create(tmp_path, 0, CAPACITY) as ring:
        reader = open_for_reader(ring.path)
        ring.writer.append([row(1)])
        assert reader.head == 0
        ring.writer.publish()
        assert [record[2] for record in walk(reader, 0, reader.head)[0]] == [row(1)[0]]
        reader.store_tail(96)
        assert ring.writer.used == 0
        reader.close()


def test_a_failed_ring_is_not_taken_over_but_replaced_and_removed_when_it_is_drained(tmp_path: Path) -> None:
    with open_for_writer(tmp_path, 2, CAPACITY) as ring:
        ring.writer.append([row(1)])
        ring.writer.publish()
        ring.store_synced(96)
        ring.writer.append([row(2)])
        ring.writer.publish()
        ring.store_failed(96)
    assert not has_writer(ring.path)
    with open_for_writer(tmp_path, 2, CAPACITY) as fresh:
        assert fresh.path != ring.path
        assert has_writer(fresh.path)
        assert (info(ring.path).failed, info(fresh.path).failed) == (True, False)
        assert not remove_if_orphan(ring.path)
        reader = open_for_reader(ring.path)
        reader.store_tail(96)
        reader.close()
        assert remove_if_orphan(ring.path)
    assert not has_writer(ring.path)
    with open_for_writer(tmp_path, 2, CAPACITY) as again:
        assert again.path == fresh.path


def test_the_next_worker_takes_over_the_ring_of_the_last(tmp_path: Path) -> None:
    with open_for_writer(tmp_path, 2, CAPACITY) as ring:
        path = ring.path
        ring.writer.append([row(1)])
        ring.writer.publish()
        ring.writer.append([row(2)])
    with open_for_writer(tmp_path, 2, CAPACITY) as ring:
        assert ring.path == path
        assert ring.writer.head == 96
        ring.writer.append([row(3)])
        ring.writer.publish()
    reader = open_for_reader(path)
    assert [record[2] for record in walk(reader, 0, reader.head)[0]] == [row(1)[0], row(3)[0]]
    reader.close()


def test_a_second_writer_of_a_slot_is_told_who_has_it(tmp_path: Path) -> None:
    with open_for_writer(tmp_path, 0, CAPACITY) as ring:
        assert writer_of(ring.path) == os.getpid()
        with pytest.raises(RingLocked, match=f"process {os.getpid()}"):
            open_for_writer(tmp_path, 0, CAPACITY)
        path = ring.path
    assert writer_of(path) == 0


def test_a_second_writer_is_refused_also_where_nobody_knows_who_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_for_writer(tmp_path, 0, CAPACITY):
        monkeypatch.setattr(ring_file, "writer_of", lambda path: 0)
        with pytest.raises(RingLocked, match="another process"):
            open_for_writer(tmp_path, 0, CAPACITY)


def test_other_slots_are_not_in_the_way(tmp_path: Path) -> None:
    with open_for_writer(tmp_path, 0, CAPACITY) as first, open_for_writer(tmp_path, 1, CAPACITY) as second:
        assert first.path != second.path
        with open_for_writer(tmp_path, 10, CAPACITY) as third:
            assert third.writer.header.slot == 10


def test_a_killed_writers_lock_dies_with_it_and_its_children_do_not_keep_it(tmp_path: Path) -> None:
    code = (
        "import os, subprocess, sys; from pathlib import Path; from trackflowd.ring.file import open_for_writer\n"
        "ring = open_for_writer(Path(sys.argv[1]), 0, 65536)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=0, stdout=2, close_fds=False)\n"
        "print(child.pid, flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    root = str(Path(__file__).parent.parent)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as writer:
        assert writer.stdout is not None
        assert writer.stdin is not None
        child = int(writer.stdout.readline())
        with pytest.raises(RingLocked, match=f"process {writer.pid}"):
            open_for_writer(tmp_path, 0, CAPACITY)
        writer.kill()
        writer.wait()
        os.kill(child, 0)  # it is still there, and it inherited what was not closed on exec
        with open_for_writer(tmp_path, 0, CAPACITY) as ring:
            assert len(scan(tmp_path)) == 1
            assert ring.still_there()


def test_another_size_gets_a_new_ring_and_leaves_the_old_one_to_be_drained(tmp_path: Path) -> None:
    open_for_writer(tmp_path, 0, CAPACITY).close()
    with open_for_writer(tmp_path, 0, 2 * CAPACITY) as ring:
        assert ring.writer.capacity == 2 * CAPACITY
    assert sorted(found.header.capacity for found in scan(tmp_path) if found.header) == [CAPACITY, 2 * CAPACITY]


def test_a_ring_of_another_boot_is_left_to_be_drained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        before.setattr(ring_file, "boot_id", lambda: b"the boot before.")
        open_for_writer(tmp_path, 0, CAPACITY).close()
    with open_for_writer(tmp_path, 0, CAPACITY) as ring:
        assert [found.of_this_boot for found in scan(tmp_path)].count(False) == 1
        assert ring.writer.header.boot == ring_file.boot_id()


@pytest.mark.parametrize(
    ("at", "raw"),
    [
        (0, b"X"),
        (20, b"\xff"),
        (60, b"\xff\xff"),
        (HEAD_AT, bytes(8)),
        (HEAD_AT, encode_word(2 * CAPACITY).to_bytes(8, "little")),
        (TAIL_AT, b"\xff" * 8),
        (8, b"\x02"),
    ],
)
def test_a_ring_that_cannot_be_trusted_is_named_kept_and_not_written(tmp_path: Path, at: int, raw: bytes) -> None:
    with open_for_writer(tmp_path, 0, CAPACITY) as ring:
        bad = ring.path
    poke(bad, at, raw)
    with open_for_writer(tmp_path, 0, CAPACITY) as ring:
        assert ring.path != bad
    found = {one.path: one for one in scan(tmp_path)}
    assert found[bad].error
    assert found[bad].used == 0
    assert not found[ring.path].error
    with pytest.raises(RingDamaged):
        open_for_reader(bad)


def test_a_ring_near_the_end_of_positions_is_not_written_any_more(tmp_path: Path) -> None:
    with open_for_writer(tmp_path, 0, CAPACITY) as ring:
        old = ring.path
    for at in (HEAD_AT, TAIL_AT):
        poke(old, at, encode_word(LAST_POSITION // 2).to_bytes(8, "little"))
    with open_for_writer(tmp_path, 0, CAPACITY) as ring:
        assert ring.path != old
    assert not info(old).error


def test_a_ring_cut_short_is_refused_before_it_is_touched(tmp_path: Path) -> None:
    with open_for_writer(tmp_path, 0, CAPACITY) as ring:
        path = ring.path
    os.truncate(path, HEADER_SIZE + 4096)
    with pytest.raises(RingDamaged, match="8192 bytes long, its header says 69632"):
        open_for_reader(path)
    assert "8192 bytes" in info(path).error
    with open_for_writer(tmp_path, 0, CAPACITY) as ring:
        assert ring.path != path


def test_a_writer_sees_that_its_file_is_gone(tmp_path: Path) -> None:
    with open_for_writer(tmp_path, 0, CAPACITY) as ring:
        assert ring.still_there()
        ring.path.unlink()
        assert not ring.still_there()


def test_a_writer_sees_that_its_file_was_replaced(tmp_path: Path) -> None:
    with open_for_writer(tmp_path, 0, CAPACITY) as ring:
        other = tmp_path / "other"
        other.write_bytes(ring.path.read_bytes())
        os.rename(other, ring.path)
        assert not ring.still_there()


def test_a_writer_sees_that_its_file_was_renamed_away(tmp_path: Path) -> None:
    with open_for_writer(tmp_path, 0, CAPACITY) as ring:
        os.rename(ring.path, tmp_path / "elsewhere")
        assert not ring.still_there()
        ring.path.write_bytes((tmp_path / "elsewhere").read_bytes())
        assert not ring.still_there()


def test_a_writer_sees_that_its_file_was_cut_short(tmp_path: Path) -> None:
    with open_for_writer(tmp_path, 0, CAPACITY) as ring:
        os.truncate(ring.path, HEADER_SIZE)
        assert not ring.still_there()
        os.truncate(ring.path, HEADER_SIZE + CAPACITY)


def test_a_writer_does_not_mind_a_chmod(tmp_path: Path) -> None:
    with open_for_writer(tmp_path, 0, CAPACITY) as ring:
        ring.path.chmod(0)
        assert ring.still_there()
        ring.path.chmod(0o600)


def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    ring = open_for_writer(tmp_path, 0, CAPACITY)
    ring.close()
    ring.close()


def test_half_made_rings_of_the_slot_are_swept_and_those_being_made_are_not(tmp_path: Path) -> None:
    for name in ("0-aa.tmp", "0-bb.tmp", "1-cc.tmp"):
        (tmp_path / name).write_bytes(b"half")
    with open(tmp_path / "0-bb.tmp", "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        open_for_writer(tmp_path, 0, CAPACITY).close()
    assert sorted(path.name for path in tmp_path.glob("*.tmp")) == ["0-bb.tmp", "1-cc.tmp"]


def test_a_ring_that_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, directory: Path, size: int) -> None:
        raise DataDirError("no room")

    monkeypatch.setattr(ring_file, "allocate", full)
    with pytest.raises(DataDirError, match="no room"):
        open_for_writer(tmp_path, 0, CAPACITY)
    assert os.listdir(tmp_path) == []


def test_an_error_of_the_disk_is_told_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(DataDirError, match=r"0-.*\.ring: .*Input/output error"):
        create(tmp_path, 0, CAPACITY)
    assert os.listdir(tmp_path) == []


def test_a_directory_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(DataDirError, match="No such file"):
        open_for_writer(tmp_path / "missing", 0, CAPACITY)


def test_a_drained_ring_nobody_writes_is_removed(tmp_path: Path) -> None:
    with open_for_writer(tmp_path, 0, CAPACITY) as ring:
        path = ring.path
        assert not remove_if_orphan(path), "its writer lives"
        ring.writer.append([row(1)])
        ring.writer.publish()
    assert not remove_if_orphan(path), "it holds a record"
    reader = open_for_reader(path)
    reader.store_tail(96)
    assert remove_if_orphan(path)
    assert not path.exists()
    assert remove_if_orphan(path), "it is gone"
    reader.close()


def test_a_damaged_ring_is_not_removed(tmp_path: Path) -> None:
    with open_for_writer(tmp_path, 0, CAPACITY) as ring:
        path = ring.path
    poke(path, HEAD_AT, bytes(8))
    assert not remove_if_orphan(path)
    assert path.exists()


def test_a_writer_does_not_take_over_a_ring_removed_while_it_waited_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_for_writer(tmp_path, 0, CAPACITY) as ring:
        path = ring.path
    lock = ring_file._lock

    def removed_just_before(fd: int, named: Path) -> None:
        named.unlink(missing_ok=True)
        lock(fd, named)

    monkeypatch.setattr(ring_file, "_lock", removed_just_before)
    made: list[object] = []
    monkeypatch.setattr(ring_file, "create", lambda *_: made.append("a new one"))
    open_for_writer(tmp_path, 0, CAPACITY)
    assert made, "the file without a name was taken over"
    assert not path.exists()


def test_looking_does_not_need_a_right_to_write(tmp_path: Path) -> None:
    with open_for_writer(tmp_path, 0, CAPACITY) as ring:
        reader = open_for_reader(ring.path, writable=False)
        with pytest.raises(TypeError):
            reader.store_tail(0)
        reader.close()


def test_a_file_that_is_gone_or_no_ring_is_reported_not_raised(tmp_path: Path) -> None:
    assert info(tmp_path / "0-x.ring").error == "No such file or directory"
    (tmp_path / "0-y.ring").write_bytes(b"")
    assert [found.header for found in scan(tmp_path)] == [None]
    assert "not a ring" in scan(tmp_path)[0].error


def test_the_boot_id_is_the_kernels() -> None:
    text = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert ring_file.boot_id().hex() == text.replace("-", "")
