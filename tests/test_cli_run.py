"""cli_run: the configuration is checked and summed up; --follow says where everything is."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests import tlsfiles
from trackflowd import cli, config, supervisor
from trackflowd.cli_run import Follower, operator_command, source
from trackflowd.cli_text import Style


@pytest.fixture(autouse=True)
def no_options_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TRACKFLOW_")]:
        monkeypatch.delenv(name)


def test_a_sound_file_is_summed_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.toml"
    path.write_text('[http]\nlisten = ["127.0.0.1:9000"]\ndemo = true\n[store]\nurl = "clickhouse://u:secret@h/d"\n')
    assert (
        cli.daemon(["check", "-c", str(path), "--data-dir", str(tmp_path / "d"), "--set", "batch.max_age=500ms"]) == 0
    )
    out = capsys.readouterr().out
    for text in ("ok", "127.0.0.1:9000", str(tmp_path / "d"), "http.demo = true", 'batch.max_age = "500ms"'):
        assert text in out
    assert "secret" not in out


def test_a_wrong_line_is_named_with_what_would_be_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.toml"
    path.write_text("[http]\ndemo = true\nlisen = 3\n[batch]\nmax_age = true\n")
    assert cli.daemon(["check", "-c", str(path)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "line 3" in first and "http.listen" in first
    assert "line 5" in second and '"500ms"' in second


def test_a_certificate_that_cannot_be_used_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certificate, key = tlsfiles.make(tmp_path, "one", ["one.example"])
    sets = ["--set", "http.listen=127.0.0.1:0 tls", "--set", f"tls.certificate={certificate}"]
    assert cli.daemon(["check", *sets, "--set", f"tls.key={key}"]) == 0
    assert "127.0.0.1:0 tls" in capsys.readouterr().out
    assert cli.daemon(["check", *sets]) == 2  # without its key
    assert f"tls.certificate: {certificate} and its key cannot be used" in capsys.readouterr().err


def test_the_flag_for_the_data_directory_is_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    args = argparse.Namespace(config=None, set=["daemon.data_dir=/elsewhere"], data_dir="here")
    assert source(args, {}).load().daemon.data_dir == str(tmp_path / "here")


@pytest.mark.parametrize("follow", [False, True])
def test_run_hands_over_to_the_supervisor(follow: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, bool]] = []

    def run(
        cfg: config.Config,
        on_ready: Callable[[Mapping[str, Any]], None] | None = None,
        on_event: Callable[[Mapping[str, Any]], None] | None = None,
        source: config.Source | None = None,
    ) -> int:
        assert source is not None
        assert source.load() == cfg
        asked.append((cfg.daemon.data_dir, on_ready is not None and on_event is not None))
        return 3

    monkeypatch.setattr(supervisor, "run", run)
    assert cli.daemon(["run", "--data-dir", str(tmp_path), *(["--follow"] if follow else [])]) == 3
    assert asked == [(str(tmp_path), follow)]


def followed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, *sets: str, addresses: Sequence[str] = ("127.0.0.1:8080",)
) -> str:
    socket = str(tmp_path / "control.sock")
    status = {"listen": {"http": addresses, "admin": None, "control": socket}, "data_dir": str(tmp_path)}
    cfg = config.load(None, [f"daemon.data_dir={tmp_path}", *sets], {})
    Follower(cfg, Style(False)).ready(status)
    return capsys.readouterr().out


def test_following_says_where_everything_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = followed(capsys, tmp_path, "http.demo=true")
    for text in ("http://127.0.0.1:8080/\n", "POST http://127.0.0.1:8080/v1/events", str(tmp_path), "control.sock"):
        assert text in out
    assert 'query "SELECT name, path, country, browser FROM events"' in out
    assert "probes" not in out and "81.2.69.142" not in out


@pytest.mark.parametrize(
    ("addresses", "said"),
    [
        (["unix:/run/t.sock", "127.0.0.1:8080"], "POST http://127.0.0.1:8080/v1/events\n"),
        (["127.0.0.1:8080 proxy", "127.0.0.1:8443 tls"], "POST https://127.0.0.1:8443/v1/events\n"),
        (["unix:/run/t.sock"], "POST unix:/run/t.sock /v1/events\n"),
    ],
)
def test_following_names_a_listener_that_browsers_reach_if_there_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], addresses: list[str], said: str
) -> None:
    sets = "http.trusted_proxies=127.0.0.0/8", f"http.listen={','.join(addresses)}", "tls.certificate=/c"
    out = followed(capsys, tmp_path, *sets, addresses=[text.partition(" ")[0] for text in addresses])
    assert said in out
    assert ("81.2.69.142" in out) == (len(addresses) == 2)


def test_following_names_no_demo_where_there_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "demo page" not in followed(capsys, tmp_path)


def test_following_plays_a_visitor_where_loopback_is_trusted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = followed(capsys, tmp_path, "http.trusted_proxies=127.0.0.0/8")
    assert "'X-Forwarded-For: 81.2.69.142'" in out and "127.0.0.1:8080/v1/events" in out


def test_following_shows_an_event_as_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    Follower(config.Config(), Style(False)).event({"site": "demo", "name": "signup", "received": 0})
    assert "demo" in (line := capsys.readouterr().out) and line.count("\n") == 1


@pytest.mark.parametrize(
    ("path", "socket", "typed"),
    [
        ("bin", ".data/control.sock", "trackflow"),
        ("", ".data/control.sock", os.path.join("bin", "trackflow")),
        ("bin", "other/control.sock", "trackflow --socket other/control.sock"),
    ],
)
def test_the_suggested_command_finds_program_and_daemon(
    path: str, socket: str, typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "trackflow").touch()
    program = str(tmp_path / "bin" / "trackflowd")
    assert operator_command(str(tmp_path / socket), program, {"PATH": str(tmp_path / path)}) == typed
