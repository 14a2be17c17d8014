from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from trackflowd import datadir
from trackflowd.datadir import DataDir
from trackflowd.errors import DataDirError


def test_it_is_made_private_with_its_directories(tmp_path: Path) -> None:
    opened = DataDir(tmp_path / "a" / "b")
    assert stat.S_IMODE(opened.path.stat().st_mode) == 0o700
    assert {path.name for path in opened.path.iterdir() if path.is_dir()} == set(datadir.INSIDE)
    assert (opened.path / "lock").read_text() == f"{os.getpid()}\n"
    opened.close()


def test_a_directory_that_others_can_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.mkdir(mode=0o755)
    DataDir(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_second_daemon_is_refused_with_the_first_ones_pid_and_what_to_do(tmp_path: Path) -> None:
    first = DataDir(tmp_path)
    with pytest.raises(DataDirError) as caught:
        DataDir(tmp_path)
    assert f"process {os.getpid()}" in caught.value.text
    assert f"kill {os.getpid()}" in caught.value.hint
    first.close()
    DataDir(tmp_path).close()


def test_a_clean_end_is_told_from_a_kill(tmp_path: Path) -> None:
    first = DataDir(tmp_path)
    assert not first.unclean
    os.close(first._lock)  # as the kernel does for a killed process
    second = DataDir(tmp_path)
    assert second.unclean
    second.close()
    third = DataDir(tmp_path)
    assert not third.unclean
    third.close()


def test_a_full_disk_does_not_keep_it_from_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    DataDir(tmp_path).close()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        opened = DataDir(tmp_path)
        with pytest.raises(DataDirError, match="another trackflowd works"):
            DataDir(tmp_path)
    opened.close()
    (tmp_path / "spool").rmdir()
    monkeypatch.setattr(Path, "mkdir", lambda path, **_: full() if path.name == "spool" else None)
    with pytest.raises(DataDirError, match="spool cannot be made"):
        DataDir(tmp_path)


def test_a_child_s_lock_is_one_process_s(tmp_path: Path) -> None:
    held = datadir.own(tmp_path / "flusher.lock")
    with pytest.raises(DataDirError, match="another flusher"):
        datadir.own(tmp_path / "flusher.lock")
    os.close(held)
    os.close(datadir.own(tmp_path / "flusher.lock"))
    with pytest.raises(DataDirError, match="cannot be opened"):
        datadir.own(tmp_path / "none" / "flusher.lock")


@pytest.mark.parametrize("name", ["flusher.lock", "rings/0-x.ring"])
def test_children_of_a_killed_daemon_are_waited_for(tmp_path: Path, name: str) -> None:
    opened = DataDir(tmp_path)
    held = os.open(tmp_path / name, os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            os.close(held)

    opened.await_children(nap)
    assert len(naps) == 3
    opened.close()


def test_a_child_that_does_not_end_is_named(tmp_path: Path) -> None:
    opened = DataDir(tmp_path)
    held = os.open(tmp_path / "flusher.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    naps: list[float] = []
    with pytest.raises(DataDirError, match=r"flusher\.lock is still held"):
        opened.await_children(naps.append)
    assert sum(naps) == pytest.approx(datadir.CHILDREN_WAIT, abs=0.1)
    os.close(held)
    opened.close()


def test_looking_for_children_locks_nothing(tmp_path: Path) -> None:
    opened = DataDir(tmp_path)
    (tmp_path / "flusher.lock").touch()
    opened.await_children()
    fd = os.open(tmp_path / "flusher.lock", os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)
    opened.close()


def test_a_file_in_its_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(DataDirError, match="is not a directory"):
        DataDir(tmp_path / "data")
    with pytest.raises(DataDirError, match="data is not a directory"):
        DataDir(tmp_path / "data" / "below")
    with pytest.raises(DataDirError, match="cannot be made"):
        DataDir(Path("/proc/nowhere/data"))


def test_somebody_elses_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(DataDirError, match="belongs to user"):
        DataDir(tmp_path)
