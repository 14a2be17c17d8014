"""cli_quarantine: what was set apart, seen without a daemon, tried again and deleted through it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.control_stage import stage
from tests.rows import row
from tests.test_cli_spool import FIRST, put
from tests.test_spool import cut
from trackflowd import cli
from trackflowd.quarantine import Quarantine
from trackflowd.ring.layout import Record

ROW = f"rows-{5:032x}-17.segment"
RAW = "damaged-ab-0-64.bin"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with a refused row, raw bytes, and a damaged segment in quarantine."""
    quarantine = Quarantine(tmp_path / "quarantine")
    quarantine.put_row(cut(9), Record(0, 0, *row(4)), 5, 17, "Code: 36. DB::Exception: bad\x1b[2J value")
    quarantine.put_raw(RAW.removesuffix(".bin"), b"x" * 64)
    return tmp_path


def run(data: Path, *words: str) -> int:
    return cli.operator(["--data-dir", str(data), "quarantine", *words])


def test_files_are_listed_with_why_they_are_there(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "quarantine" / f"{ROW}.tmp").write_bytes(b"half")
    assert run(data, "list") == 0
    head, raw, one, total = capsys.readouterr().out.splitlines()
    assert head.split() == ["file", "rows", "size", "since", "retry", "why"]
    assert raw.split()[:2] == [RAW, "-"] and raw.endswith("no     bytes of a ring that are no record")
    assert one.split()[:2] == [ROW, "1"] and one.endswith("yes    Code: 36. DB::Exception: bad�[2J value")
    assert total.startswith("2 files with 1 row, ")
    assert run(data, "list", "--json") == 0
    assert [found["retry"] for found in json.loads(capsys.readouterr().out)] == [False, True]


def test_nothing_set_apart_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "list") == 0
    assert "nothing in" in capsys.readouterr().out


def test_rows_are_printed_and_raw_bytes_are_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(put(data, FIRST, 2), data / "quarantine" / f"segment-{FIRST}.bin")
    assert run(data, "dump") == 0
    raw, one, *of_segment = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert raw == {"file": RAW, "kind": "damaged", "bytes": 64, "what": "bytes of a ring that are no record"}
    assert (one["file"], one["row"], one["event"]["site"]) == (ROW, 0, "example.org")
    assert [found["row"] for found in of_segment] == [0, 1]
    assert run(data, "dump", ROW) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    for name in ("nothing", "../lock", "/etc/passwd"):
        assert run(data, "dump", name) == 1
        assert "quarantine list" in capsys.readouterr().err


def test_rows_are_sent_again_those_named_or_all(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = {"retried": 1, "rows": 1, "skipped": [{"name": RAW, "reason": "only rows"}]}
    with stage(data, {"quarantine_retry": value}) as asked:
        assert run(data, "retry", ROW, RAW) == 1
        said = capsys.readouterr().out
        assert "1 row goes to the store again" in said
        assert f"left as it is: {RAW}: only rows" in said
        value |= {"skipped": []}
        assert run(data, "retry", "--json") == 0
        assert json.loads(capsys.readouterr().out) == value
        value |= {"rows": 0, "retried": 0}
        assert run(data, "retry") == 0
        assert capsys.readouterr().out == "nothing to send again\n"
    assert [one["args"]["names"] for one in asked] == [[ROW, RAW], [], []]


def test_files_are_deleted_by_the_daemon(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = {"config": {"daemon.data_dir": str(data)}, "quarantine_drop": {"dropped": 2, "rows": 1}}
    with stage(data, answers) as asked:
        assert run(data, "drop", ROW, RAW, "--yes") == 0
        assert capsys.readouterr().out == "dropped: 2 files with 1 row, lost for good\n"
        assert run(data, "drop", RAW) == 2
        assert "1 file with 0 rows would be lost for good" in capsys.readouterr().err
        assert run(data, "drop", "--all", "--yes", "--json") == 0
    assert [one["args"]["names"] for one in asked if one["name"] != "config"] == [[ROW, RAW], [RAW, ROW]]
