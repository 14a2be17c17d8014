"""Quarantine files: made durable, found, described, never guessed at."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.test_segment import ROWS
from tests.test_spool import cut
from trackflowd import segment
from trackflowd.errors import DataDirError
from trackflowd.quarantine import Quarantine, look


def test_rows_and_raw_bytes_are_kept_and_described(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "quarantine")
    assert look(quarantine.directory) == []
    row = quarantine.put_row(cut(9), ROWS[0], 5, 17, "cannot parse")
    quarantine.put_unreadable(cut(8), ROWS[:2])
    quarantine.put_raw("damaged-ab-0-64", b"x" * 64)
    assert segment.read(row)[1] == [ROWS[0]]
    found = {one["kind"]: one for one in look(quarantine.directory)}
    assert found["row"]["name"] == f"rows-{5:032x}-17.segment"
    assert (found["row"]["reason"], found["row"]["retry"]) == ("cannot parse", True)
    assert (found["unreadable"]["rows"], found["unreadable"]["retry"]) == (2, False)
    assert (found["damaged"]["bytes"], found["damaged"]["retry"]) == (64, False)
    assert quarantine.retryable() == [row]
    assert quarantine.rows_of(5) == {17}
    assert quarantine.rows_of(6) == set()


@pytest.mark.parametrize("name", ["nothing", "../state.sqlite", "", ".", "/etc/passwd"])
def test_only_files_in_it_are_found(tmp_path: Path, name: str) -> None:
    (tmp_path / "state.sqlite").write_bytes(b"")
    quarantine = Quarantine(tmp_path / "quarantine")
    quarantine.put_raw("damaged-x", b"")
    with pytest.raises(DataDirError, match="quarantine list"):
        quarantine.find(name)


def test_a_full_disk_is_an_error_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    quarantine = Quarantine(tmp_path / "quarantine")
    actions: tuple[Callable[[], object], ...] = (
        lambda: quarantine.put_row(cut(9), ROWS[0], 5, 17, "x"),
        lambda: quarantine.put_unreadable(cut(8), ROWS),
        lambda: quarantine.put_raw("damaged-x", b""),
    )
    for action in actions:
        with pytest.raises(DataDirError, match="free space"):
            action()
    assert list(quarantine.directory.iterdir()) == []


def test_a_file_of_another_kind_is_shown_and_not_retried(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "quarantine")
    path = quarantine.put_row(cut(9), ROWS[0], 5, 17, "x")
    path.write_bytes(b"nonsense")
    (one,) = look(quarantine.directory)
    assert "not a segment" in one["reason"]
    assert not one["retry"]
