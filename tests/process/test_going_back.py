"""An older version on the data directory of a newer one: what docs/operations.md says of it, done."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from tests.golden.make import FORMATS
from tests.process.harness import Daemon, until

#: Where a data directory has the files of each format.
PLACES = {"ring": "rings/*.ring", "journal": "journal/*.journal", "window": "window/*.ids"}
CRC_AT = {each.name: each.crc_at for each in FORMATS}


def of_the_next_version(data_dir: Path) -> dict[Path, bytes]:
    """Make all files of these formats look as if the next version had written them; what is in them now."""
    files = {}
    for name, pattern in PLACES.items():
        for path in data_dir.glob(pattern):
            raw = bytearray(path.read_bytes())
            struct.pack_into("<I", raw, 8, struct.unpack_from("<I", raw, 8)[0] + 1)
            struct.pack_into("<I", raw, CRC_AT[name], zlib.crc32(raw[: CRC_AT[name]]))
            path.write_bytes(raw)
            files[path] = bytes(raw)
    assert len(files) >= 4, "two rings, a journal and a window"
    return files


def post(daemon: Daemon, count: int) -> None:
    for _ in range(count):
        assert daemon.post({"site": "shop", "name": "pageview"})[0] == 200


def test_an_older_version_leaves_newer_files_alone_and_takes_events_until_they_are_moved(tmp_path: Path) -> None:
    with Daemon(tmp_path, "store.url=null:", "daemon.drain_timeout=2") as daemon:
        post(daemon, 5)
        assert daemon.stop() == 0, "everything is stored"
        files = of_the_next_version(daemon.data_dir)

        daemon.start(ready=False)
        until(lambda: "is of format" in daemon.log())
        post(daemon, 3)
        assert daemon.ready()[0] == 503
        assert daemon.stop() == 3
        assert "this program knows" in daemon.log() and "start the version that wrote it" in daemon.log()
        assert {path: path.read_bytes() for path in files} == files

        for path in files:
            aside = tmp_path / "newer" / path.parent.name
            aside.mkdir(parents=True, exist_ok=True)
            path.rename(aside / path.name)
        daemon.start()
        daemon.flush()
        assert daemon.status()["totals"]["rows_stored"] == 3
        assert daemon.stop() == 0
