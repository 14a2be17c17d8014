"""cli_tools: rings and geo databases from the command line, without a daemon."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests import geo_files, rows
from trackflowd import cli
from trackflowd.cli_tools import data_dir
from trackflowd.ring import file
from trackflowd.ring.layout import HEADER_SIZE


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    """A ring with three events in it, in a data directory."""
    (tmp_path / "rings").mkdir()
    opened = file.open_for_writer(tmp_path / "rings", 0, 65536)
    opened.writer.append([rows.row(n) for n in range(3)])
    opened.writer.publish()
    opened.close()
    return next((tmp_path / "rings").glob("*.ring"))


def damaged(ring: Path) -> Path:
    """The same ring with a byte of its first record changed."""
    with ring.open("r+b") as raw:
        raw.seek(HEADER_SIZE + 60)
        byte = raw.read(1)[0]
        raw.seek(HEADER_SIZE + 60)
        raw.write(bytes([byte ^ 0xFF]))
    return ring


def test_the_rings_of_a_data_directory_are_checked(ring: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.operator(["ring", "check", "--data-dir", str(ring.parent.parent)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"ok  {ring}")
    assert "no writer, of this boot" in out
    assert "of 64 KiB" in out and "records    3," in out


def test_damage_is_told_and_ends_with_1(ring: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.operator(["ring", "check", str(damaged(ring))]) == 1
    out = capsys.readouterr().out
    assert out.startswith("damaged")
    assert "from position 0 to" in out


def test_what_is_no_ring_is_unusable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.ring").write_bytes(b"no ring")
    assert cli.operator(["ring", "check", str(tmp_path / "x.ring")]) == 1
    assert capsys.readouterr().out.startswith("unusable")
    assert cli.operator(["ring", "dump", str(tmp_path / "x.ring")]) == 1
    assert cli.operator(["ring", "dump", str(tmp_path / "none.ring")]) == 1
    assert "none.ring" in capsys.readouterr().err


def test_a_check_is_given_as_json(ring: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.operator(["ring", "check", str(ring), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["records"]) == (True, 3)


def test_a_dump_prints_events_oldest_first(ring: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.operator(["ring", "dump", str(ring), "--limit", "2"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [item["event"]["visitor"] for item in found] == [2**64 - 1, 2**64 - 2]


def test_a_directory_without_rings_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.operator(["ring", "check", "--data-dir", str(tmp_path)]) == 1
    assert "--data-dir" in capsys.readouterr().err


def test_the_data_directory_is_the_flags_the_local_one_or_the_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    env = {"TRACKFLOW_DAEMON_DATA_DIR": "/elsewhere"}
    assert data_dir("given", env) == Path("given")
    assert data_dir(None, env) == Path("/elsewhere")
    os.mkdir(".data")
    assert data_dir(None, env) == Path(".data")


def test_a_database_is_put_in_place_and_looked_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = geo_files.write(tmp_path / "mine.mmdb", geo_files.COUNTRY)
    where = ["--data-dir", str(tmp_path / "d")]
    assert cli.operator(["geo", "update", str(source), *where]) == 0
    assert "Test-Country" in capsys.readouterr().out
    assert cli.operator(["geo", "lookup", "81.2.69.142", *where]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["country", "GB"]
    assert cli.operator(["geo", "lookup", "10.0.0.1", *where]) == 0
    assert "unknown" in capsys.readouterr().out
    assert cli.operator(["geo", "lookup", "2a02:c7f::1", "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out)["country"] == "GB"


def test_an_update_is_given_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = geo_files.write(tmp_path / "mine.mmdb", geo_files.COUNTRY)
    assert cli.operator(["geo", "update", str(source), "--json", "--data-dir", str(tmp_path / "d")]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(tmp_path / "d" / "geo" / "mine.mmdb")


@pytest.mark.parametrize("words", [["lookup", "here"], ["lookup", "81.2.69.142"], ["update", "/no/such.mmdb"]])
def test_what_cannot_be_done_is_told(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.operator(["geo", *words, "--data-dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("trackflow: ")
