"""cli_spool: batches in the spool, seen without a daemon and given up through it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tests.control_stage import stage
from tests.rows import NOW, row
from tests.test_cli_tasks import Terminal
from trackflowd import cli, segment
from trackflowd.ring.layout import Record
from trackflowd.segment import Head

FIRST, SECOND = f"{1:032x}", f"{2:032x}"


def put(directory: Path, name: str, rows: int, reason: str = "store away: connection refused") -> Path:
    """A segment of so many rows."""
    (directory / "spool").mkdir(exist_ok=True)
    path = directory / "spool" / f"{name}.segment"
    head = Head(name, 1, "chdb:", 202511, 1, rows, NOW, reason)
    segment.write(path, head, [Record(0, 0, *row(n)) for n in range(rows)])
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with two batches in its spool."""
    put(tmp_path, FIRST, 3)
    put(tmp_path, SECOND, 1, "refused: no column\x1b[2J\nx")
    return tmp_path


def run(data: Path, *words: str) -> int:
    return cli.operator(["--data-dir", str(data), "spool", *words])


def test_batches_are_listed_oldest_first_without_a_daemon(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data, "list") == 0
    head, first, second, total = capsys.readouterr().out.splitlines()
    assert head.split() == ["batch", "rows", "size", "since", "why"]
    assert first.startswith(f"{FIRST}     3  ") and first.endswith("store away: connection refused")
    assert second.endswith("refused: no column�[2J x")
    assert total.startswith("2 batches with 4 rows, ") and total.endswith(f"in {data / 'spool'}")
    assert run(data, "list", "--json") == 0
    assert [one["rows"] for one in json.loads(capsys.readouterr().out)] == [3, 1]


def test_a_file_that_is_no_segment_is_listed_as_such(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "spool" / f"{FIRST}.segment").write_bytes(b"x")
    assert run(data, "list") == 0
    assert "is not a segment" in " ".join(capsys.readouterr().out.split())


def test_an_empty_spool_and_a_directory_that_is_none_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "list") == 0
    assert "nothing in" in capsys.readouterr().out
    assert run(tmp_path, "list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
    assert run(tmp_path / "else", "list") == 1
    assert "--data-dir" in capsys.readouterr().err


def test_rows_are_printed_with_their_fields_by_name(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data, "dump") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["file"], one["row"]) for one in rows] == [
        (f"{FIRST}.segment", 0), (f"{FIRST}.segment", 1), (f"{FIRST}.segment", 2), (f"{SECOND}.segment", 0),
    ]  # fmt: skip
    assert rows[1]["event"]["site"] == "example.org"
    assert rows[1]["event"]["revenue"] == 10_000
    assert rows[0]["flags"] == ["client_id"]
    for name in (SECOND, f"{SECOND}.segment", str(data / "spool" / f"{SECOND}.segment")):
        assert run(data, "dump", name) == 0
        assert len(capsys.readouterr().out.splitlines()) == 1
    assert run(data, "dump", "--limit", "2") == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_damaged_row_is_named_and_the_others_are_printed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data / "spool" / f"{FIRST}.segment"
    raw = bytearray(path.read_bytes())
    raw[-20] ^= 1
    path.write_bytes(raw)
    assert run(data, "dump") == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["error" in one for one in rows] == [False, False, True, False]
    path.write_bytes(b"")
    assert run(data, "dump", FIRST) == 1
    assert "is not a segment" in json.loads(capsys.readouterr().out)["error"]
    assert run(data, "dump", "nothing") == 1
    assert "spool list" in capsys.readouterr().err


def test_batches_are_given_up_by_the_daemon_once_that_is_confirmed(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"config": {"daemon.data_dir": str(data)}, "spool_drop": {"dropped": 1, "rows": 3}}
    with stage(data, answers) as asked:
        monkeypatch.setattr("sys.stdin", Terminal("no\n"))
        assert run(data, "drop", FIRST) == 1
        out, err = capsys.readouterr()
        assert err == "1 batch with 3 rows will be lost for good. Go on? [y/N] "
        assert out == "nothing was dropped\n"
        monkeypatch.setattr("sys.stdin", Terminal("y\n"))
        assert run(data, "drop", FIRST) == 0
        assert capsys.readouterr().out == "dropped: 1 batch with 3 rows, lost for good\n"
    assert [one for one in asked if one["name"] != "config"] == [
        {"name": "spool_drop", "args": {"names": [f"{FIRST}.segment"]}}
    ]


def test_without_a_terminal_nothing_is_dropped_unless_it_is_said(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    answers = {"config": {"daemon.data_dir": str(data)}, "spool_drop": {"dropped": 2, "rows": 4}}
    with stage(data, answers) as asked:
        assert run(data, "drop", "--all") == 2
        assert "--yes" in capsys.readouterr().err
        assert {one["name"] for one in asked} == {"config"}
        assert run(data, "drop", "--all", "--yes", "--json") == 0
        assert json.loads(capsys.readouterr().out) == {"dropped": 2, "rows": 4}
        for words, code in ((("drop",), 2), (("drop", FIRST, "--all"), 2), (("drop", "nothing", "--yes"), 1)):
            assert run(data, *words) == code
            assert "names" in capsys.readouterr().err
    assert asked[2]["args"] == {"names": [f"{FIRST}.segment", f"{SECOND}.segment"]}


def test_giving_up_all_of_nothing_is_fine_and_needs_a_daemon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stage(tmp_path, {"config": {"daemon.data_dir": str(tmp_path)}}):
        assert run(tmp_path, "drop", "--all") == 0
        assert capsys.readouterr().out == "the spool is empty\n"
    assert run(tmp_path / "nobody", "drop", "--all") == 3


def test_a_batch_in_doubt_is_released_once_the_price_is_confirmed(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"config": {"daemon.data_dir": str(data)}, "spool_release": {"released": 1, "rows": 3}}
    with stage(data, answers) as asked:
        monkeypatch.setattr("sys.stdin", Terminal("no\n"))
        assert run(data, "release", FIRST) == 1
        out, err = capsys.readouterr()
        assert "will be stored twice if the host they wait for has them. Go on?" in err
        assert out == "nothing was released\n"
        assert run(data, "release", FIRST, "--yes") == 0
        assert "released: 1 batch with 3 rows" in capsys.readouterr().out
    assert [one["name"] for one in asked if one["name"] != "config"] == ["spool_release"]
