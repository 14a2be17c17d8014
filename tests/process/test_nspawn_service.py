"""The installed service on a booted Debian: reloaded, restarted and killed under traffic, watched, logged."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from tests.process.harness import PATIENCE, ROOT, until
from tests.process.nspawn import Machine, installed, required

UNIT = "trackflowd.service"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One with the service up."""
    required()
    with installed(tmp_path_factory.mktemp("service")) as made:
        yield made


class Traffic:
    """``callers`` on the machine's loopback."""

    def __init__(self, machine: Machine, directory: Path) -> None:
        self._file = directory / "answered"
        self._file.touch()
        words = [sys.executable, "-m", "tests.process.callers", "8080", "shop", str(self._file)]
        self._process = machine.on_its_network(*words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Traffic:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def answered(self) -> list[str]:
        """Ids of the events that were answered 200."""
        return self._file.read_text().split()

    def goes_on(self) -> None:
        """Return once some more are answered."""
        wanted = len(self.answered()) + 50
        until(lambda: len(self.answered()) >= wanted)

    def end(self) -> dict[str, Any]:
        """What became of the others."""
        said, _ = self._process.communicate(timeout=PATIENCE)
        found: dict[str, Any] = json.loads(said)
        return found


def assert_stored_once(machine: Machine, ids: list[str]) -> None:
    machine.until_ready()
    machine.trackflow("flush")
    rows = machine.rows("SELECT toString(event_id) AS id, count() AS n FROM events WHERE name = 'call' GROUP BY id")
    stored = {row["id"]: int(row["n"]) for row in rows}
    assert [event for event in ids if stored.get(event) != 1] == []


def warnings(machine: Machine) -> str:
    return "\n".join(machine.journal("trackflowd", "--priority", "warning"))


def test_systemd_shows_how_it_is_and_takes_its_word_for_a_reload(machine: Machine) -> None:
    until(lambda: machine.show(UNIT, "StatusText").startswith("ready: "))
    before = machine.pid()
    path = machine.root / "etc/trackflow/trackflow.toml"
    path.write_text(path.read_text() + "\n[daemon]\ndrain_timeout = 19\n")
    machine.systemctl("reload", "trackflowd")
    assert json.loads(machine.trackflow("config", "--json"))["daemon.drain_timeout"] == 19
    assert (machine.show(UNIT, "ActiveState"), machine.show(UNIT, "SubState")) == ("active", "running")
    assert machine.pid() == before


def test_a_restart_under_traffic_turns_nobody_away(machine: Machine, tmp_path: Path) -> None:
    with Traffic(machine, tmp_path) as traffic:
        traffic.goes_on()
        before = machine.pid()
        machine.systemctl("restart", "trackflowd")
        assert machine.pid() != before
        traffic.goes_on()
        assert traffic.end() == {"refused": 0, "lost": 0, "wrong": []}
        assert_stored_once(machine, traffic.answered())


def test_a_killed_daemon_is_started_again_and_nothing_that_was_answered_is_lost(
    machine: Machine, tmp_path: Path
) -> None:
    with Traffic(machine, tmp_path) as traffic:
        traffic.goes_on()
        before = machine.pid()
        machine.run("kill", "-KILL", str(before))
        until(lambda: machine.pid() not in (0, before))
        machine.until_active(UNIT)
        traffic.goes_on()
        found = traffic.end()
        assert (found["refused"], found["wrong"]) == (0, [])  # those it had let in were lost, and came again
        assert_stored_once(machine, traffic.answered())


def test_a_supervisor_that_hangs_is_ended_by_the_watchdog_and_started_again(machine: Machine, tmp_path: Path) -> None:
    drop_in = machine.root / "etc/systemd/system/trackflowd.service.d/watchdog.conf"
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text("[Service]\nWatchdogSec=3s\n")
    machine.systemctl("daemon-reload")
    machine.systemctl("restart", "trackflowd")
    machine.until_ready()
    with Traffic(machine, tmp_path) as traffic:
        traffic.goes_on()
        before = machine.pid()
        machine.run("kill", "-STOP", str(before))
        until(lambda: machine.pid() not in (0, before))
        machine.until_active(UNIT)
        traffic.goes_on()
        found = traffic.end()
        assert (found["refused"], found["wrong"]) == (0, [])
        assert_stored_once(machine, traffic.answered())
    assert "Watchdog timeout" in warnings(machine)


def test_a_wrong_configuration_under_traffic_turns_nobody_away_and_is_got_over_once_it_is_mended(
    machine: Machine, tmp_path: Path
) -> None:
    def told(words: str) -> int:
        return sum(words in line for line in machine.journal(UNIT))

    path = machine.root / "etc/trackflow/trackflow.toml"
    text = path.read_text()
    with Traffic(machine, tmp_path) as traffic:
        traffic.goes_on()
        starts, scheduled = told("Starting "), told("Scheduled restart job")
        path.write_text(text + "\n[nonsense]\nx = 1\n")
        assert machine.try_run("systemctl", "restart", UNIT).returncode != 0
        until(lambda: told("Scheduled restart job") >= scheduled + 3)
        assert machine.show("trackflowd.socket", "ActiveState") == "active"
        path.write_text(text)
        machine.until_active(UNIT)
        # Connections wait in the sockets meanwhile, and start nothing: each start but ours waited for RestartSec.
        assert told("Starting ") - starts - 1 == told("Scheduled restart job") - scheduled
        traffic.goes_on()
        assert traffic.end() == {"refused": 0, "lost": 0, "wrong": []}
        assert_stored_once(machine, traffic.answered())


def test_who_stops_the_sockets_as_well_has_it_stopped_under_traffic(machine: Machine, tmp_path: Path) -> None:
    with Traffic(machine, tmp_path) as traffic:
        traffic.goes_on()
        machine.systemctl("stop", "trackflowd.socket", UNIT)
        assert [machine.show(unit, "ActiveState") for unit in ("trackflowd.socket", UNIT)] == ["inactive"] * 2
        machine.systemctl("start", UNIT)
        assert machine.show("trackflowd.socket", "ActiveState") == "active"
        traffic.goes_on()
        assert traffic.end()["wrong"] == []
        assert_stored_once(machine, traffic.answered())


def test_the_journal_knows_warnings_and_errors_from_the_rest(machine: Machine) -> None:
    machine.until_ready()
    worker = machine.run("pgrep", "--full", "trackflowd: worker 0").split()[0]
    machine.run("kill", "-KILL", worker)
    until(lambda: f"worker 0 (process {worker}) was killed by SIGKILL" in warnings(machine))
    machine.until_ready()
    assert any("worker 0 is ready" in line for line in machine.journal("trackflowd"))
    assert "worker 0 is ready" not in warnings(machine)
    path = machine.root / "etc/trackflow/trackflow.toml"
    text = path.read_text()
    path.write_text(text + "\n[nonsense]\nx = 1\n")
    assert machine.try_run("systemctl", "reload", "trackflowd").returncode != 0
    path.write_text(text)
    until(lambda: any("nonsense" in line for line in machine.journal("trackflowd", "--priority", "err")))
