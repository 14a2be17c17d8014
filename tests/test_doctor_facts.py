"""doctor.facts: what is seen of a machine, on a real one."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from tests import geo_files
from trackflowd.doctor import checks, facts

MOUNTS = """\
/dev/a / ext4 rw 0 0
tmpfs /srv tmpfs rw 0 0
nas:/x /srv/my\\040data nfs4 rw 0 0
/dev/b /srv/my\\040data ext4 rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/etc", "ext4"), ("/srv", "tmpfs"), ("/srv/x", "tmpfs"), ("/srvx", "ext4"), ("/srv/my data/deep", "ext4")],
)
def test_a_path_is_on_the_mount_that_is_nearest_and_on_top(path: str, kind: str) -> None:
    assert facts.kind_of(Path(path), MOUNTS) == kind


def test_the_disk_of_what_is_not_there_yet_is_that_of_its_parent(tmp_path: Path) -> None:
    seen = facts.disk(tmp_path / "not" / "there", 7)
    assert seen.path == str(tmp_path) and seen.kind and seen.total >= seen.free > 0 and seen.needed == 7
    assert not list(tmp_path.iterdir())


def test_kernel_figures_are_read_and_what_is_not_there_is_none() -> None:
    assert (facts.sysctl("net/core/somaxconn") or 0) > 0
    assert facts.sysctl("no/such/thing") is None
    assert facts.open_files(os.getpid()) == facts.open_files(None) > 0
    assert facts.open_files(2**22 + 1) > 0, "a process that has ended"


def test_a_file_from_the_future_says_that_the_clock_was_set_back(tmp_path: Path) -> None:
    assert facts.clock(tmp_path).newest == 0
    (tmp_path / "state.sqlite").touch()
    assert facts.clock(tmp_path).newest <= 1
    now = time.time()
    os.utime(tmp_path / "state.sqlite", (now, now + 7200))
    seen = facts.clock(tmp_path)
    assert seen.file == "state.sqlite" and seen.newest > 7000 and checks.clock(seen).state == checks.FAIL


def test_the_kernel_says_whether_its_clock_is_kept_in_step() -> None:
    assert facts.synced() in (True, False)


def test_zones_that_are_not_there_are_named() -> None:
    assert facts.zones() == []
    assert facts.zones(("UTC", "No/Where", "../etc")) == ["No/Where", "../etc"]


def test_paths_are_seen_with_mode_and_owner(tmp_path: Path) -> None:
    (tmp_path / "file").touch(0o640)
    seen = facts.path(tmp_path / "file", os.R_OK)
    assert (seen.mode, seen.owner, seen.usable) == (0o640, os.geteuid(), True)
    assert facts.path(tmp_path / "none" / "deep", os.R_OK).mode is None


def test_a_port_that_somebody_listens_at_is_taken() -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{sock.getsockname()[1]}"
        assert facts.listens(address) == ("", "")
        sock.listen()
        error, hint = facts.listens(address)
        assert facts.holder(address) in (os.getpid(), None)
    assert facts.holder(address) is None
    assert "in use" in error and address.rpartition(":")[2] in hint
    assert facts.listens(address) == ("", ""), "looking takes nothing"


def test_a_unix_socket_is_taken_by_who_listens_there_and_not_by_a_dead_one(tmp_path: Path) -> None:
    path = str(tmp_path / "events.sock")
    assert facts.listens_at_path(path) == ("", "")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()
        assert "somebody listens there" in facts.listens_at_path(path)[0]
    assert facts.listens_at_path(path) == ("", "")
    (tmp_path / "file").touch()
    assert "no socket" in facts.listens_at_path(str(tmp_path / "file"))[0]
    assert "no directory" in facts.listens_at_path("/no/where/events.sock")[0]


@pytest.mark.parametrize("address", ["203.0.113.1:80", "no.such.host.invalid:80", "127.0.0.1:port"])
def test_an_address_that_is_not_ours_cannot_be_listened_at(address: str) -> None:
    error, hint = facts.listens(address)
    assert address in error and hint


def test_geo_databases_have_an_age_and_broken_ones_an_error(tmp_path: Path) -> None:
    assert facts.databases(tmp_path) == facts.databases(tmp_path / "none") == []
    geo_files.write(tmp_path / "a.mmdb", geo_files.COUNTRY)
    (found,) = facts.databases(tmp_path)
    assert abs(found.days) < 1 and checks.geo([found], "").state == checks.OK
    (found,) = facts.databases(tmp_path / "a.mmdb", time.time() + 60 * 86_400)
    assert checks.geo([found], "").state == checks.WARN
    (tmp_path / "a.mmdb").write_bytes(b"no database")
    (found,) = facts.databases(tmp_path)
    assert checks.geo([found], "").state == checks.FAIL


def test_required_libraries_are_those_of_the_parts_in_use() -> None:
    lines = ["A_b>=1.2", "c", 'd>=3; extra == "embedded"', "e[x]>=2,<9", "f>=1 ; extra == 'postgres'"]
    assert facts.required([], lines) == {"a-b": "1.2", "c": "0", "e": "2"}
    assert facts.required(["embedded"], lines)["d"] == "3"
    assert "f" in facts.required(["postgres"], lines)


def test_the_libraries_this_program_needs_are_installed_here() -> None:
    wanted = facts.required(["embedded", "postgres"])
    assert "httptools" in wanted
    assert checks.libraries(wanted, facts.installed([*wanted, "no-such-library"])).state == checks.OK
