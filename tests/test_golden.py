"""Files of today's formats, kept: each later version reads the same from them and refuses what is newer than itself."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.golden.make import EXPECTED, FORMATS, HERE, Format
from trackflowd.errors import TrackflowError

KEPT = [(each, path) for each in FORMATS for path in sorted(HERE.glob(f"{each.name}-v*"))]
BY_NAME = pytest.mark.parametrize("each", FORMATS, ids=lambda each: each.name)


def holds(got: Any, kept: Any) -> bool:
    """Whether got says all that kept says; a later version may know more of it."""
    if isinstance(kept, dict):
        return isinstance(got, dict) and all(name in got and holds(got[name], value) for name, value in kept.items())
    if isinstance(kept, list):
        return isinstance(got, list) and len(got) == len(kept) and all(map(holds, got, kept))
    return bool(got == kept)


def copied(source: Path, directory: Path) -> list[Path]:
    """Its files, where the code may work on them."""
    return [Path(shutil.copy(path, directory)) for path in sorted(source.iterdir()) if path.name != EXPECTED]


@pytest.mark.parametrize(("each", "source"), KEPT, ids=lambda value: value.name)
def test_a_kept_file_is_read_as_on_the_day_it_was_made(each: Format, source: Path, tmp_path: Path) -> None:
    assert copied(source, tmp_path)
    kept = json.loads((source / EXPECTED).read_text())
    got = each.read(tmp_path)
    assert holds(got, kept), got


@BY_NAME
def test_todays_version_of_a_format_is_among_the_kept(each: Format, tmp_path: Path) -> None:
    source = HERE / f"{each.name}-v{each.version}"
    assert source.exists(), "python -m tests.golden.make"
    each.make(tmp_path)
    assert holds(each.read(tmp_path), json.loads((source / EXPECTED).read_text()))


@BY_NAME
def test_a_newer_version_is_refused_with_what_to_do_and_left_as_it_is(each: Format, tmp_path: Path) -> None:
    files = {}
    for path in copied(HERE / f"{each.name}-v{each.version}", tmp_path):
        raw = bytearray(path.read_bytes())
        assert struct.unpack_from("<I", raw, 8) == (each.version,)
        struct.pack_into("<I", raw, 8, each.version + 1)
        struct.pack_into("<I", raw, each.crc_at, zlib.crc32(raw[: each.crc_at]))
        path.write_bytes(raw)
        files[path.name] = bytes(raw)
    with pytest.raises(TrackflowError, match=f"format {each.version + 1}, this program knows {each.version}") as error:
        each.read(tmp_path)
    assert "the version that wrote" in error.value.hint
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
