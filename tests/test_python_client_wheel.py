"""The Python client as it is installed: a wheel, in processes that have nothing else, across exit and fork."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.process.harness import ROOT, Daemon

SITE = "wheel.example"

_TRACK = """
from trackflow_client import Client
client = Client({url!r}, "wheel.example", max_wait=60)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel's content and nothing else."""
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "source"
    shutil.copytree(ROOT / "tracker" / "python", source)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", str(directory), str(source)], check=True, timeout=120)
    (wheel,) = directory.glob("trackflow_client-*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory / "site")
    return directory / "site"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("daemon")) as daemon:
        yield daemon


def run(installed: Path, program: str, words: Sequence[str] = ()) -> str:
    """Standard output of a program that sees the standard library and the wheel."""
    command = [
        sys.executable,
        "-S",
        "-E",
        "-W",
        "error",
        "-c",
        f"import sys; sys.path.insert(0, {str(installed)!r})\n{program}",
    ]
    done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=120, cwd=installed)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def names(daemon: Daemon) -> list[str]:
    daemon.flush()
    rows = daemon.rows(f"SELECT name, count() AS n FROM events WHERE site = '{SITE}' GROUP BY name ORDER BY name")
    assert [row for row in rows if int(row["n"]) != 1] == []
    return [row["name"] for row in rows]


def test_the_wheel_holds_the_package_its_types_and_its_licence(installed: Path) -> None:
    found = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    assert {"trackflow_client/__init__.py", "trackflow_client/py.typed"} <= found
    assert any(name.endswith("LICENSE") for name in found)
    metadata = next(installed.glob("*.dist-info/METADATA")).read_text()
    assert "Requires-Dist" not in metadata and "Requires-Python: >=3.9" in metadata


def test_it_needs_nothing_of_the_daemon(installed: Path) -> None:
    program = (
        "import trackflow_client\n"
        "third = {m.partition('.')[0] for m in sys.modules} - set(sys.stdlib_module_names) - {'__main__'}\n"
        "print(sorted(third))"
    )
    assert run(installed, program) == "['trackflow_client']\n"


def test_what_is_queued_at_the_end_of_a_program_is_sent(installed: Path, daemon: Daemon) -> None:
    run(installed, _TRACK.format(url=daemon.http) + "client.track('exit')")
    assert "exit" in names(daemon)


def test_a_program_ends_in_time_though_nobody_answers(installed: Path) -> None:
    program = _TRACK.format(url="http://127.0.0.1:1").replace("max_wait=60", "exit_timeout=0.2")
    run(installed, program + "print(client.track('n') is not None)")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this machine cannot fork")
def test_a_fork_sends_each_event_from_one_process_only(installed: Path, daemon: Daemon) -> None:
    program = (
        _TRACK.format(url=daemon.http)
        + """
import os
client.track("before")
pids = []
for n in range(3):
    pid = os.fork()
    if not pid:
        assert client.stats().queued == 0
        client.track(f"child{n}")
        sys.exit(0 if client.flush(60) else 1)
    pids.append(pid)
client.track("parent")
assert client.flush(60)
assert client.stats().accepted == 2, client.stats()
assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 3
"""
    )
    run(installed, program)
    assert {"before", "child0", "child1", "child2", "parent"} <= set(names(daemon))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this machine cannot fork")
def test_a_fork_in_the_middle_of_a_lock_leaves_the_child_able_to_send(installed: Path, daemon: Daemon) -> None:
    program = (
        _TRACK.format(url=daemon.http)
        + """
import os
with client._changed:  # as if another thread were in track() at this moment
    pid = os.fork()
    if not pid:
        client.track("locked")
        os._exit(0 if client.flush(60) else 1)
assert os.waitpid(pid, 0)[1] == 0
"""
    )
    run(installed, program)
    assert "locked" in names(daemon)
