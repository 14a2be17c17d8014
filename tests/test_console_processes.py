"""console.processes: what each process takes, and what the machine has."""

from __future__ import annotations

import pytest

from tests.console_values import STATUS, attr_of, known, older, status, texts
from trackflowd.console import processes
from trackflowd.console.knowledge import Knowledge
from trackflowd.console.lines import columns_of


@pytest.mark.parametrize("columns", [78, 98, 118, 198])
def test_it_fits_its_width_and_shows_every_process(columns: int) -> None:
    lines = processes.draw(known(status()), columns)
    assert max(map(columns_of, lines)) <= columns
    shown = "\n".join(texts(lines))
    for text in ("supervisor", "worker 0", "worker 1", "flusher", "41%", "80 MiB", "1.21", "of 2 cores", "32 GiB free"):
        assert text in shown, text


@pytest.mark.parametrize("columns", [78, 118, 198])
def test_every_counter_is_there_once(columns: int) -> None:
    shown = texts(processes.draw(known(status()), columns))
    below = " ".join(shown[shown.index(next(line for line in shown if line.startswith("Counters"))) :])
    for name in STATUS["totals"]:
        assert below.count(f"{name.replace('_', ' ')} ") == 1 or name == "requests", name
    assert "1,234,567" in below


def test_restarts_stand_out() -> None:
    lines = processes.draw(known(status()), 118)
    row = next(line for line in lines if "worker 1" in line[0].text)
    assert [cell.attr for cell in row if cell.text.strip() == "2"] == ["odd"]


def test_a_process_that_is_not_there_has_dashes() -> None:
    nobody = dict.fromkeys(("pid", "uptime_s", "cpu_s", "rss", "fds", "heartbeat_age_s", "cpu_share"))
    told = status(processes=[{**nobody, "role": "worker", "slot": 0, "state": "waiting", "restarts": 5}])
    lines = processes.draw(known(told), 118)
    row = next(text for text in texts(lines) if text.startswith("worker 0"))
    assert row.split()[:5] == ["worker", "0", "-", "waiting", "-"]
    assert attr_of(lines, "waiting") == "odd"


def test_a_disk_that_is_soon_full_is_red() -> None:
    lines = processes.draw(known(status(disk={"days_to_full": 3.0})), 118)
    assert attr_of(lines, "3 d 0 h") == "bad"


def test_an_older_daemon_says_nothing_of_the_machine() -> None:
    assert "older version" in "\n".join(texts(processes.draw(known(older("machine")), 118)))


@pytest.mark.parametrize("key", sorted(STATUS))
def test_an_older_daemon_that_lacks_a_key_is_shown_all_the_same(key: str) -> None:
    assert processes.draw(known(older(key)), 78)


def test_before_the_first_status_it_says_that_it_waits() -> None:
    assert texts(processes.draw(Knowledge(), 78)) == ["waiting for the first word of the daemon"]
