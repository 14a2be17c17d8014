"""trackflow doctor: what people and programs see of it, on machines that are and are not fit."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.harness import ROOT, Daemon
from trackflowd import cli

_TMPFS = 'mount -t tmpfs -o size=16m tmpfs "$0" && head -c 15m /dev/zero > "$0/ballast" && exec "$@"'


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def doctor(file: Path, text: str, *words: str) -> int:
    file.write_text(text)
    return cli.operator(["doctor", "-c", str(file), *words])


def test_a_machine_without_a_daemon_is_looked_at_and_ports_that_are_taken_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f'[daemon]\ndata_dir = "{tmp_path}/data"\n[store]\nurl = "null:"\n[admin]\nlisten = ""\n[http]\n'
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        text += f'listen = ["127.0.0.1:{sock.getsockname()[1]}"]\n'
        assert doctor(tmp_path / "t.toml", text) == 0
        out = capsys.readouterr().out
        assert "none runs" in out and "Nothing stands in the daemon's way" in out
        sock.listen()
        assert doctor(tmp_path / "t.toml", text) == 1
    out = capsys.readouterr().out
    assert "fail  port" in out and "→ see who has it: ss -ltnp" in out and "mend what failed" in out


def test_options_that_make_no_sense_are_said_and_the_rest_is_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor(tmp_path / "t.toml", "[http]\nlisten = 7\n", "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False and {"name", "state", "text", "mend"} == report["checks"][0].keys()
    (wrong,) = [check for check in report["checks"] if check["name"] == "config"]
    assert wrong["state"] == "fail" and "http.listen" in wrong["text"]
    assert len(report["checks"]) > 15


def test_a_running_daemon_is_found_by_its_file_and_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Daemon(tmp_path, "store.url=chdb:") as daemon:
        text = f'[daemon]\ndata_dir = "{daemon.data_dir}"\n'
        assert doctor(tmp_path / "t.toml", text, "--json") == 0
        checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
        assert "is ready" in checks["daemon"]["text"] and "the daemon has it" in checks["port"]["text"]
        assert "version" in checks["store"]["text"] and "a worker may have" in checks["nofile"]["text"]


def test_a_full_disk_in_memory_is_seen(tmp_path: Path) -> None:
    at = tmp_path / "data"
    at.mkdir(0o700)
    words = ["-c", "from trackflowd.cli import operator; import sys; sys.exit(operator(sys.argv[1:]))"]
    words += ["doctor", "--json", "--data-dir", str(at)]
    namespace = ["unshare", "--mount", "sh", "-c", _TMPFS, str(at)]
    if subprocess.run([*namespace, "true"], capture_output=True).returncode:
        pytest.skip("this machine cannot mount in a namespace")
    done = subprocess.run(
        [*namespace, sys.executable, *words], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True
    )
    assert done.returncode == 1, done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["space"]["state"] == "fail" and "1 MiB of 16 MiB" in checks["space"]["text"]
    assert checks["filesystem"]["state"] == "warn" and "is on tmpfs" in checks["filesystem"]["text"]
