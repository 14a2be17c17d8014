"""Room for a ring file."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trackflowd.errors import DataDirError
from trackflowd.ring import space

ROOT = Path(__file__).parent.parent


def test_every_block_is_there_and_zero(tmp_path: Path) -> None:
    size = 3 * 1024 * 1024 + 4096
    with open(tmp_path / "ring", "w+b") as file:
        space.allocate(file.fileno(), tmp_path, size)
        status = os.fstat(file.fileno())
        assert status.st_size == size
        assert status.st_blocks * 512 >= size
        assert not any(file.read())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_with_what_is_wanted_and_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(fd: int, at: int, size: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 8, 1234))
    with open(tmp_path / "ring", "w+b") as file, pytest.raises(DataDirError) as error:
        space.allocate(file.fileno(), tmp_path, 16 * 1024 * 1024)
    assert "16,777,216 bytes, 1,234 are free" in error.value.text
    assert "ring.size" in error.value.hint


def test_another_error_of_the_disk_is_not_called_lack_of_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(fd: int, at: int, size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "posix_fallocate", broken)
    with open(tmp_path / "ring", "w+b") as file, pytest.raises(OSError, match="Input/output"):
        space.allocate(file.fileno(), tmp_path, 8192)


def test_a_copy_on_write_file_system_gets_zeroes_and_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unused(fd: int, at: int, size: int) -> None:
        raise AssertionError("space reserved there is no promise")

    monkeypatch.setattr(space, "copy_on_write", lambda directory: "btrfs")
    monkeypatch.setattr(os, "posix_fallocate", unused)
    with caplog.at_level(logging.WARNING), open(tmp_path / "ring", "w+b") as file:
        space.allocate(file.fileno(), tmp_path, 8192)
        assert file.read() == bytes(8192)
    assert "btrfs" in caplog.text


def test_the_kernel_is_asked_what_file_system_it_is() -> None:
    assert space.copy_on_write(Path("/proc")) == ""
    assert space.copy_on_write(Path("/no/such/directory")) == ""
    names = dict.fromkeys([0x9FA0], "proc")  # PROC_SUPER_MAGIC, statfs(2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(space, "_COPY_ON_WRITE", names)
        assert space.copy_on_write(Path("/proc")) == "proc"


@pytest.mark.parametrize(("table", "said"), [("_IN_MEMORY", "outlives"), ("_COPY_ON_WRITE", "new blocks")])
def test_where_a_sync_may_not_keep_what_it_says_that_is_said(
    monkeypatch: pytest.MonkeyPatch, table: str, said: str
) -> None:
    assert space.doubt_of_durability(Path("/proc")) == ""
    monkeypatch.setattr(space, table, {0x9FA0: "procfs"})
    doubt = space.doubt_of_durability(Path("/proc"))
    assert "procfs" in doubt and said in doubt


FULL = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from trackflowd.errors import DataDirError
from trackflowd.ring.file import open_for_writer
here = Path(sys.argv[2])
try:
    open_for_writer(here, 0, 16 * 1024 * 1024)
except DataDirError as error:
    print(error, list(here.iterdir()))
"""


def test_a_disk_too_small_for_a_ring_is_an_error_and_no_sigbus(tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size=1m tmpfs {tmp_path} && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("this machine cannot mount a tmpfs in a namespace")
    run = [*command, sys.executable, "-c", FULL, str(ROOT), str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "no room for a ring of 16,781,312 bytes" in done.stdout
    assert done.stdout.rstrip().endswith("[]"), "something was left behind"


def test_a_ring_larger_than_the_free_space_is_refused_before_a_block_is_taken(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    with (tmp_path / "ring").open("w+b") as file, pytest.raises(DataDirError, match="no room"):
        space.allocate(file.fileno(), tmp_path, 2 * free)
    assert (tmp_path / "ring").stat().st_blocks == 0
