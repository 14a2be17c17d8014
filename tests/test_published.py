"""trackflowd.published: a snapshot of this version is read, anything else is said."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgpack
import pytest

from tests.workers import write_snapshot
from trackflowd.errors import DataDirError, Refused
from trackflowd.published import read_snapshot


def test_a_snapshot_is_read(tmp_path: Path) -> None:
    write_snapshot(tmp_path)
    snapshot = read_snapshot(tmp_path / "snapshot.msgpack")
    assert [salt.day for salt in snapshot.salts] == ["all"]
    assert snapshot.policy.idle
    with pytest.raises(Refused):
        snapshot.admins.check(b"tft_1_" + b"s" * 43, 0)


def test_admins_are_those_of_the_snapshot(tmp_path: Path) -> None:
    write_snapshot(tmp_path)
    path = tmp_path / "snapshot.msgpack"
    tokens = [{"id": 1, "hash": hashlib.sha256(b"s" * 43).digest(), "expires_ms": None}]
    path.write_bytes(msgpack.packb({**msgpack.unpackb(path.read_bytes()), "admin_tokens": tokens}))
    read_snapshot(path).admins.check(b"tft_1_" + b"s" * 43, 0)


@pytest.mark.parametrize("raw", [b"", b"\xc1", msgpack.packb([]), msgpack.packb({"salts": [{}]})])
def test_anything_else_is_said(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "snapshot.msgpack"
    with pytest.raises(DataDirError, match="cannot be read"):
        read_snapshot(path)
    path.write_bytes(raw)
    with pytest.raises(DataDirError, match="not a snapshot of this version"):
        read_snapshot(path)
