"""trackflow backup and restore: words, figures and refusals (tests/process/test_backup.py has the real thing)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from trackflowd import backup, cli
from trackflowd.cli_backup import summary
from trackflowd.cli_text import Style
from trackflowd.errors import DataDirError


def make(directory: Path, files: dict[str, bytes], **about: Any) -> Path:
    """A backup of some files."""
    source = directory.with_name("source")
    for name, raw in files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    partial = backup.free_place(directory)
    told = {"name": "b1", "made_ms": 1_764_374_400_000, "counts": {"events": 12_345, "sites": 1, "keys": 0}, **about}
    backup.write(partial, backup.tree(source), told, lambda done, total: None)
    backup.finish(partial, directory)
    return directory


FILES = {"state.json": b"{}", "parts/1/data.bin": bytes(3 * 2**20), "empty": b""}


def restore(directory: Path, *words: str) -> int:
    return cli.operator(["restore", str(directory), *words])


def test_a_whole_backup_is_proved_without_a_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = make(tmp_path / "made", FILES)
    assert restore(made, "--check") == 0
    assert "whole" in (out := capsys.readouterr().out) and "12,345 events, 1 sites" in out
    assert restore(made, "--check", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["files"], told["bytes"]) == (True, 3, 3 * 2**20 + 2)
    assert restore(made, "--socket", str(tmp_path / "none")) == 3
    assert not (tmp_path / "made.partial").exists()


@pytest.mark.parametrize("change", ["bit", "short", "gone", "more", "manifest", "no manifest", "cut manifest", "later"])
def test_a_backup_that_is_not_whole_is_refused(tmp_path: Path, change: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = make(tmp_path / "made", FILES)
    part, manifest = made / "parts/1/data.bin", made / "manifest.json"
    text = manifest.read_text()
    if change == "bit":
        part.write_bytes(b"\1" + part.read_bytes()[1:])
    elif change == "short":
        part.write_bytes(part.read_bytes()[:-1])
    elif change == "gone":
        part.unlink()
    elif change == "more":
        part.write_bytes(part.read_bytes() + b"\0")
    elif change == "manifest":
        manifest.write_text(text.replace("12345", "12346"))
    elif change == "no manifest":
        manifest.unlink()
    elif change == "cut manifest":
        manifest.write_text(text[:-10])
    else:
        manifest.write_text(text.replace('"version": 1', '"version": 2'))
    assert restore(made, "--check") == 1
    error = capsys.readouterr().err
    assert "\n  " in error, "a hint says what to do"


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a//b", ""])
def test_a_path_out_of_the_backup_is_refused(tmp_path: Path, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = make(tmp_path / "made", FILES)
    manifest = json.loads((made / "manifest.json").read_text())
    manifest["files"][0]["path"] = path
    del manifest["sha256"]
    manifest["sha256"] = backup.digest_of(manifest)
    (made / "manifest.json").write_text(json.dumps(manifest))
    assert restore(made, "--check") == 1
    assert "changed or is damaged" in capsys.readouterr().err


def test_a_place_that_is_taken_is_left_alone_and_a_killed_one_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(DataDirError, match="not empty"):
        backup.free_place(tmp_path / "full")
    (tmp_path / "empty").mkdir()
    killed = backup.free_place(tmp_path / "empty")
    (killed / "half").touch()
    assert list(backup.free_place(tmp_path / "empty").iterdir()) == []
    make(tmp_path / "empty", FILES)
    assert (tmp_path / "empty" / "manifest.json").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root acts as others")
def test_root_reads_and_writes_as_the_one_a_directory_belongs_to(tmp_path: Path) -> None:
    secret, theirs, made = tmp_path / "secret", tmp_path / "theirs", tmp_path / "made"
    secret.write_bytes(b"root's")
    secret.chmod(0o600)
    for path in (tmp_path, *tmp_path.parents[:3]):  # with xdist one more
        path.chmod(path.stat().st_mode | 0o011)
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    owner = backup.owner_of(theirs)
    for link in ("soft", "hard"):
        (os.symlink if link == "soft" else os.link)(secret, theirs / link)
        with pytest.raises(DataDirError, match=r"Permission denied|symbolic links"):
            backup.copy(theirs / link, made, reader=owner)
    backup.copy(secret, theirs / "deep" / "copy", writer=owner)
    assert (theirs / "deep" / "copy").stat().st_uid == (theirs / "deep").stat().st_uid == 65534
    (theirs / "out").symlink_to(tmp_path)
    with pytest.raises(DataDirError, match="Permission denied"):
        backup.copy(secret, theirs / "out" / "made", writer=owner)
    assert os.geteuid() == 0 and not made.exists()


@pytest.mark.parametrize("words", [["backup"], ["backup", "x", "--wait", "0"], ["backup", "x", "--wait", "s"]])
def test_wrong_words_are_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.operator(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err


def test_what_came_of_a_restore_is_said() -> None:
    nothing = {"sites": 0, "keys": 0, "erasures": 0, "quarantine": 0}
    done = {"events": 10, "restored": 7, "held": 2, "erased": 1, **nothing, "sites": 3}
    lines = summary({"id": 1, "result": done}, Style())
    assert lines == [
        "events      7 restored, 2 were there, 1 were erased and stay gone",
        "taken over  3 sites",
    ]
    lines = summary({"id": 1, "result": {"events": 0, **nothing}}, Style())
    assert lines == ["taken over  nothing"]
    failed = {"id": 7, "state": "failed", "result": None, "error": {"text": "no", "hint": "do"}}
    assert any("trackflow tasks resume 7" in line for line in summary(failed, Style()))
