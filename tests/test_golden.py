"""Files of today's formats, kept: each later version reads the same from them and refuses what is newer than itself."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.golden.make import EXPECTED, FORMATS, HERE, RECORD, Format
from trackflowd.batch import Columns
from trackflowd.errors import TrackflowError
from trackflowd.ring.file import open_for_reader
from trackflowd.ring.layout import Record

KEPT = [(each, path) for each in (*FORMATS, RECORD) for path in sorted(HERE.glob(f"{each.name}-v*"))]
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


@pytest.mark.parametrize("each", (*FORMATS, RECORD), ids=lambda each: each.name)
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


#: What the rows of ``record-v2`` have in common, and what each has of its own.
SHARED = {
    "site": "example.org", "name": "pageview", "url": "url-1", "hostname": "hostname-1", "path": "path-1",
    "query": "query-1", "title": "title-1", "referrer": "referrer-1", "referrer_host": "referrer_host-1",
    "source": "source-1", "medium": "medium-1", "channel": "channel-1", "utm_source": "utm_source-1",
    "utm_medium": "utm_medium-1", "utm_campaign": "utm_campaign-1", "utm_term": "utm_term-1",
    "utm_content": "utm_content-1", "click_id": "click_id-1", "user_id": "user_id-1", "session": "session-1",
    "country": "co", "region": "region-1", "city": "city-1", "browser": "browser-1",
    "browser_version": "browser_version-", "os": "os-1", "os_version": "os_version-1", "device": "device-1",
    "bot": "bot-1", "language": "language-1", "timezone": "timezone-1", "screen": "screen-1", "viewport": "viewport-1",
    "currency": "cur", "dialect": "dialect-1",
}  # fmt: skip
OWN = [
    {
        "event_id": bytes.fromhex("b1f788fc15113413f2ccae90604d34b4"), "received": 1763900000001, "time": 1763900000001,
        "visitor": 18446744073709551614, "asn": 1, "engaged_ms": 1, "scroll": 1, "revenue": 10000,
        "props": {"n": "1", "ä": "ö"}, "ip": "2001:db8::1",
    },
    {
        "event_id": bytes.fromhex("bffcadba729db1b927514651b45bf126"), "received": 1763900000008, "time": 1763900000008,
        "visitor": 18446744073709551607, "asn": 8, "engaged_ms": 8, "scroll": 8, "revenue": 80000,
        "props": {"n": "8", "ä": "ö"}, "ip": "",
    },
    {
        "event_id": bytes.fromhex("df2ffa86f65d59fc124bf1f0e0d0c773"), "received": 1763900000015, "time": 1763900000015,
        "visitor": 18446744073709551600, "asn": 15, "engaged_ms": 15, "scroll": 15, "revenue": 150000,
        "props": {"n": "15", "ä": "ö"}, "ip": "203.0.113.9",
    },
]  # fmt: skip


def test_records_of_version_2_become_the_rows_they_were_made_from() -> None:
    """On the flusher's way, which decodes them by itself; one of version 1 stands between them."""
    (path,) = (HERE / "record-v2").glob("*.ring")
    reader = open_for_reader(path, writable=False)
    try:
        records, damaged = reader.records(reader.tail, reader.head, 10, 2**20)
        kept = [Record(*one[:6], bytes(one[6])) for one in records]
    finally:
        reader.close()
    assert not damaged
    assert [one[6][1] for one in kept] == [2, 1, 2]
    columns = Columns().build(kept)
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    assert holds(rows, [SHARED | own for own in OWN]), rows
