"""doctor.examine: facts and verdicts put together, of options and of what a daemon says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from trackflowd import config
from trackflowd.doctor import checks
from trackflowd.doctor.examine import Running, Subject, examine

NAMES = {
    *("daemon", "config", "data", "socket", "somaxconn", "tcp_migrate_req", "nofile", "memory", "space"),
    *("filesystem", "clock", "zones", "port", "store", "geo", "python", "libraries"),
}


def options(directory: Path, **others: Any) -> dict[str, Any]:
    cfg = config.load(None, [f"daemon.data_dir={directory}", "store.url=null:", "http.listen=127.0.0.1:0"], {})
    found = {key: getattr(getattr(cfg, row.section), row.name) for key, row in config.OPTIONS.items()}
    return {**found, "admin.listen": "", **others}


def found(subject: Subject) -> Mapping[str, checks.Check]:
    return {check.name: check for check in examine(subject, 2.0)}


def status(**others: Any) -> dict[str, Any]:
    return {
        "version": "1.2",
        "health": {"ready": True, "reason": ""},
        "processes": [{"role": "worker", "pid": 1}],
        "listen": {"http": ["127.0.0.1:8080"], "admin": None},
        "sink": {"url": "clickhouse://h:8123/d", "state": "ok", "text": ""},
        **others,
    }


def test_what_a_start_would_meet_is_looked_at(tmp_path: Path) -> None:
    seen = found(Subject(options(tmp_path), None, None))
    assert set(seen) == NAMES
    assert [check for check in seen.values() if check.state == checks.FAIL] == []


def test_listeners_are_looked_at_without_the_words_behind_them(tmp_path: Path) -> None:
    words = ("127.0.0.1:0 proxy", f"unix:{tmp_path}/none/events.sock mode=0660")
    ports = [
        check
        for check in examine(Subject(options(tmp_path, **{"http.listen": words}), None, None), 2.0)
        if check.name == "port"
    ]
    assert [check.state for check in ports] == [checks.OK, checks.FAIL]
    assert "http.listen 127.0.0.1:0 is free" in ports[0].text and "no directory" in ports[1].text


def test_a_running_daemon_is_believed_about_its_ports_and_store(tmp_path: Path) -> None:
    here = options(tmp_path, **{"store.url": "clickhouse://u:***@h:8123/d"})
    seen = found(Subject(here, None, Running(status(), '{"version":"24.8.1"}')))
    assert "the daemon has it" in seen["port"].text and "1.2 runs" in seen["daemon"].text
    assert seen["store"].text == "clickhouse://h:8123/d, version 24.8.1"
    seen = found(Subject(here, None, Running(status(), '{"version":"23.3.1"}')))
    assert seen["store"].state == checks.FAIL and "older than 24.8" in seen["store"].text
    old = status(geo={"database": "/g.mmdb", "type": "City", "built": 1_600_000_000})
    assert "City" in (geo := found(Subject(here, None, Running(old, "")))["geo"]).text and geo.state == checks.WARN
    away = status(sink={"url": "x", "state": "away", "text": "refused"}, health={"ready": False, "reason": "r"})
    seen = found(Subject(here, None, Running(away, "")))
    assert seen["store"].state == seen["daemon"].state == checks.FAIL


@pytest.mark.parametrize(
    ("line", "state"),
    [('url = "clickhouse://u:p@h/d"', checks.WARN), ('url = "clickhouse://h/d"', checks.OK), ("#", checks.OK)],
)
def test_a_password_that_all_may_read_is_warned_of(tmp_path: Path, line: str, state: str) -> None:
    file = tmp_path / "t.toml"
    file.write_text(f"[store]\n{line}\n")
    file.chmod(0o644)
    assert found(Subject(options(tmp_path), file, None))["config"].state == state


def test_wrong_options_are_a_failure_with_their_words(tmp_path: Path) -> None:
    seen = found(Subject(options(tmp_path), None, None, "line 3: no such thing"))["config"]
    assert seen.state == checks.FAIL and "line 3" in seen.text


def test_a_store_that_is_away_fails(tmp_path: Path) -> None:
    for url in ("clickhouse://127.0.0.1:1/d", "postgresql://127.0.0.1:1/d"):
        seen = found(Subject(options(tmp_path, **{"store.url": url}), None, None))["store"]
        assert seen.state == checks.FAIL and seen.mend, url
