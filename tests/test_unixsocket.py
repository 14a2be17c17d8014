"""trackflowd.unixsocket: rights from the first moment, what is in the way, and removal."""

from __future__ import annotations

import grp
import os
import socket
import stat
from pathlib import Path

import pytest

from trackflowd import unixsocket
from trackflowd.errors import ConfigError


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_the_file_has_mode_and_group(tmp_path: Path, mode: int) -> None:
    path = str(tmp_path / "s")
    group = grp.getgrgid(os.getgid()).gr_name
    sock = unixsocket.bind(path, "http.listen", 16, mode, group)
    found = os.stat(path)
    assert (stat.S_IMODE(found.st_mode), found.st_gid) == (mode, os.getgid())
    sock.close()


def test_a_dead_socket_is_replaced_and_a_living_one_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    unixsocket.bind(path, "http.listen", 16).close()
    second = unixsocket.bind(path, "http.listen", 16)
    with pytest.raises(unixsocket.InUse, match=f"http.listen: another daemon listens on {path}"):
        unixsocket.bind(path, "http.listen", 16)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    second.close()


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="is there and is not a socket"):
        unixsocket.bind(str(path), "http.listen", 16)
    assert path.read_text() == "mine"


def test_a_group_that_is_none_is_said_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no group no-such-group"):
        unixsocket.bind(str(tmp_path / "s"), "http.listen", 16, 0o660, "no-such-group")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "said"), [("x" * 120, "too long"), ("no/s", "No such file")])
def test_a_path_that_cannot_be_had_says_why(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        unixsocket.bind(str(tmp_path / name), "http.listen", 16)


def test_only_our_own_file_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = unixsocket.bind(str(path), "http.listen", 16)
    trace = unixsocket.Trace(str(path))
    moved = tmp_path / "moved"
    path.rename(moved)  # kept, so that its number is not given to the next
    second = unixsocket.bind(str(path), "http.listen", 16)
    trace.remove()
    assert path.exists()
    trace = unixsocket.Trace(str(path))
    trace.remove()
    trace.remove()
    assert not path.exists() and moved.exists()
    first.close()
    second.close()
