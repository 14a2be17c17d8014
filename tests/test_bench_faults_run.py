"""bench/faults for real: a server's faults leave the promise kept, and a broken daemon is found out.

The embedded store's are `make faults`, which `.ci/run` calls.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
FRONT = f"{sys.executable} -m tests.clickhouse_front --data {{dir}}/engine --port {{port}}"


def run(*words: str, timeout: float = 240) -> tuple[int, dict[str, Any], str]:
    """Exit code, document and standard error of a run."""
    command = [sys.executable, "-m", "bench", "faults", "--json", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout)
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory in which a socket's path fits, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="tf-") as name:
        yield Path(name)


def assert_kept(code: int, said: dict[str, Any], text: str) -> None:
    assert (code, said.get("broken")) == (0, []), text
    assert said["acked"] > 1000 and said["open_stored"] + said["acked"] == said["stored"]
    assert not said["daemon"]["unexpected"]
    assert sum(one["injected"] for one in said["faults"]) >= 1


def test_a_short_run_against_a_server_keeps_the_promise(short_path: Path) -> None:
    faults = "store-error,store-lost-reply,store-lost-reply-kill,store-cut,store-text,kill-store,kill-store-and-flusher"
    url = "clickhouse://default@127.0.0.1/trackflow"
    code, said, text = run(
        "--seconds", "8", "--seed", "52", "--store", url, "--store-command", FRONT, "--faults", faults,
        "--keep", str(short_path / "kept"),
    )  # fmt: skip
    assert_kept(code, said, text)
    assert said["skipped"] == {}
    assert said["spoilt_requests"]["lost"] > 0
    assert (short_path / "kept" / "data" / "journal").is_dir() and (short_path / "kept" / "acks.txt").exists()


def test_a_short_run_against_postgresql_keeps_the_promise(short_path: Path) -> None:
    code, said, text = run(
        "--seconds", "12", "--seed", "4", "--store", "postgresql://postgres@127.0.0.1/postgres", "--store-command",
        f"{sys.executable} -m tests.postgres {{dir}} {{port}}", "--faults",
        "kill-backend,kill-store,kill-store-and-flusher,store-cut", "--keep", str(short_path / "kept"),
    )  # fmt: skip
    assert_kept(code, said, text)
    assert said["skipped"] == {"store-cut": "the store does not speak HTTP"}
    assert "terminated by signal 9" in (short_path / "kept" / "store" / "log").read_text()


def test_a_daemon_that_stores_repeats_twice_is_found_out(short_path: Path) -> None:
    code, said, text = run(
        "--seconds", "5", "--seed", "1", "--faults", "kill-worker", "--disk", "0", "--keep", str(short_path / "kept"),
        "--daemon-command", f"{sys.executable} -m tests.doubling_daemon",
    )  # fmt: skip
    assert code == 1, text
    assert said["doubled"] > 0 and said["lost"] == 0
    assert [line[:2] for line in said["broken"]] == ["I2"]
    assert Path(said["failures"]).read_text().startswith("doubled ")
    assert (Path(said["directory"]) / "daemon.log").exists()


def test_a_store_that_does_not_start_is_code_1_with_its_words_kept(short_path: Path) -> None:
    code, _, text = run(
        "--store", "clickhouse://127.0.0.1/d", "--store-command", "false", "--keep", str(short_path / "kept")
    )
    assert code == 1 and "the store ended with code 1" in text


def test_a_run_in_which_nothing_could_strike_is_wrong_usage() -> None:
    code, _, text = run("--faults", "store-error,kill-store")
    assert code == 2 and "embedded" in text


def test_a_path_too_long_for_a_socket_is_wrong_usage(tmp_path: Path) -> None:
    code, _, text = run("--keep", str(tmp_path / ("x" * 100)))
    assert code == 2 and "shorter --keep" in text


def test_ctrl_c_ends_everything_and_leaves_nothing(short_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "faults", "--seconds", "60", "--faults", "stop-supervisor"]
    env = {**os.environ, "TMPDIR": str(short_path)}
    with subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if "stop-supervisor" in line:  # the supervisor stands still now
                break
        running.send_signal(signal.SIGINT)
        rest = running.stderr.read()  # ends when no process has it open any more
        assert running.wait(60) == 130, rest
    assert "interrupted" in rest
    assert list(short_path.iterdir()) == []
    assert str(short_path) not in Path("/proc/mounts").read_text()
    assert [path for path in _command_lines() if str(short_path) in path] == []


def _command_lines() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def test_help_has_examples() -> None:
    done = subprocess.run([sys.executable, "-m", "bench", "faults", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert "--store-command" in done.stdout and "python -m bench faults --seconds 60 --seed 1" in done.stdout
