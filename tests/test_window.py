"""The id window: what it remembers, through restarts, and in how much memory."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from trackflowd.errors import DataDirError
from trackflowd.window import Window

SITE = 0x1122334455667788
NOW = 1_700_000_000_000


def ids(n: int, start: int = 0) -> list[bytes]:
    return [i.to_bytes(16, "big") for i in range(start, start + n)]


def test_a_repeat_is_known_and_another_site_with_the_same_id_is_not_one(tmp_path: Path) -> None:
    window = Window(tmp_path, 100, (0, 0), NOW)
    (one,) = ids(1)
    assert window.add(one, SITE, NOW)
    assert not window.add(one, SITE, NOW)
    assert window.add(one, SITE + 1, NOW)
    assert window.ids == 2


def test_at_least_half_of_max_ids_are_always_held_and_never_more_than_all(tmp_path: Path) -> None:
    window = Window(tmp_path, 100, (0, 0), NOW)
    every = ids(1000)
    for n, one in enumerate(every):
        assert window.add(one, SITE, NOW)
        window.committed()
        assert window.ids <= 100
        for recent in every[max(0, n - 49) : n + 1]:
            assert window.has(recent, SITE)
    assert len(list(tmp_path.glob("*.ids"))) == 2


def test_what_was_committed_survives_a_restart_and_what_was_not_is_forgotten(tmp_path: Path) -> None:
    window = Window(tmp_path, 100, (0, 0), NOW)
    for one in ids(70):
        window.add(one, SITE, NOW)
    window.committed()
    mark = window.mark
    for one in ids(20, 1000):
        window.add(one, SITE, NOW)
    window.close()
    again = Window(tmp_path, 100, mark, NOW)
    assert again.ids == 70
    assert all(again.has(one, SITE) for one in ids(70))
    assert not any(again.has(one, SITE) for one in ids(20, 1000))
    assert all(again.add(one, SITE, NOW) for one in ids(20, 1000))


def test_a_generation_begun_but_not_committed_is_forgotten_and_the_one_before_the_last_is_still_there(
    tmp_path: Path,
) -> None:
    window = Window(tmp_path, 20, (0, 0), NOW)
    for one in ids(20):
        window.add(one, SITE, NOW)
    window.committed()
    mark = window.mark
    window.reserve(5, NOW)
    for one in ids(5, 500):
        window.add(one, SITE, NOW)
    window.close()
    again = Window(tmp_path, 20, mark, NOW)
    assert again.ids == 20
    assert all(again.has(one, SITE) for one in ids(20))
    assert not again.has(ids(1, 500)[0], SITE)


def test_reserve_fails_before_anything_changes_when_there_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = Window(tmp_path, 20, (0, 0), NOW)
    for one in ids(8):
        window.add(one, SITE, NOW)

    def full(fd: int, offset: int, length: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "posix_fallocate", full)
    before = window.mark
    with pytest.raises(DataDirError, match=r"dedup\.max_ids"):
        window.reserve(5, NOW)
    assert window.mark == before
    assert all(window.has(one, SITE) for one in ids(8))


def test_a_smaller_max_ids_at_a_restart_keeps_what_is_there(tmp_path: Path) -> None:
    window = Window(tmp_path, 100, (0, 0), NOW)
    for one in ids(40):
        window.add(one, SITE, NOW)
    mark = window.mark
    window.close()
    again = Window(tmp_path, 10, mark, NOW)
    assert all(again.has(one, SITE) for one in ids(40))


def test_a_lost_file_is_a_shorter_window_and_not_an_error(tmp_path: Path) -> None:
    window = Window(tmp_path, 100, (3, 17), NOW)
    assert window.ids == 0
    assert window.mark[0] == 4


def test_a_damaged_header_is_refused_with_what_to_do(tmp_path: Path) -> None:
    window = Window(tmp_path, 10, (0, 0), NOW)
    mark = window.mark
    window.close()
    (path,) = tmp_path.glob("*.ids")
    raw = bytearray(path.read_bytes())
    raw[13] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(DataDirError, match="remove it"):
        Window(tmp_path, 10, mark, NOW)


def test_an_id_costs_at_most_forty_bytes(tmp_path: Path) -> None:
    count = 200_000
    tracemalloc.start()
    window = Window(tmp_path, count, (0, 0), NOW)
    for one in ids(count):
        window.add(one, SITE, NOW)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    files = sum(path.stat().st_size for path in tmp_path.glob("*.ids"))
    assert window.ids == count
    assert (held + files) / count <= 40


def test_ids_that_were_never_committed_do_not_come_back_when_a_generation_is_left_before_it_is_full(
    tmp_path: Path,
) -> None:
    """Killed twice: between adding and committing, and after a later batch has turned the generation."""
    window = Window(tmp_path, 200, (0, 0), NOW)
    for one in ids(60):
        window.add(one, SITE, NOW)
    window.committed()
    mark = window.mark
    for one in ids(30, 1000):
        window.add(one, SITE, NOW)
    window.close()  # killed before the journal's cut
    window = Window(tmp_path, 200, mark, NOW)
    window.reserve(50, NOW)
    for one in ids(50, 2000):
        window.add(one, SITE, NOW)
    window.committed()
    mark = window.mark
    window.close()
    again = Window(tmp_path, 200, mark, NOW)
    assert again.ids == 110
    assert all(again.has(one, SITE) for one in [*ids(60), *ids(50, 2000)])
    assert not any(again.has(one, SITE) for one in ids(30, 1000))


def test_a_sync_covers_the_generation_before_once_another_was_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its count is written when it is followed: a power cut must not take that and leave the mark behind it."""
    window = Window(tmp_path, 8, (0, 0), NOW)
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name))
    window.add(ids(1)[0], SITE, NOW)
    window.sync()
    first = set(synced)
    synced.clear()
    window.sync()
    assert [name for name in synced if name.endswith(".ids")] == [name for name in first if name.endswith(".ids")]
    for one in ids(5, 1):
        window.add(one, SITE, NOW)
    synced.clear()
    window.sync()
    assert len({name for name in synced if name.endswith(".ids")}) == 2
    window.close()
