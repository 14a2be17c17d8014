"""cli_alerts: what is on, and the exit code for a script."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.control_stage import stage
from trackflowd import cli

WARNING = {"name": "geo_old", "severity": "warning", "since_ms": 0, "text": "50 days\x1b[2J", "hint": "update"}
CRITICAL = {**WARNING, "name": "store_away", "severity": "critical"}


@pytest.mark.parametrize(("alerts", "code"), [([], 0), ([WARNING], 0), ([CRITICAL, WARNING], 1)])
def test_the_exit_code_says_whether_something_is_critical(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], alerts: list[dict[str, Any]], code: int
) -> None:
    with stage(tmp_path, {"status": {"alerts": alerts}}):
        assert cli.operator(["alerts", "--data-dir", str(tmp_path)]) == code
        out = capsys.readouterr().out
        assert all(alert["name"] in out for alert in alerts) and "\x1b" not in out
        assert ("all is well" in out) == (not alerts)
        assert cli.operator(["alerts", "--data-dir", str(tmp_path), "--json"]) == code
        assert json.loads(capsys.readouterr().out) == alerts


def test_an_alert_is_shown_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    since = int(time.time() * 1000) - 3_600_000
    with stage(tmp_path, {"status": {"alerts": [{**CRITICAL, "since_ms": since}]}}):
        cli.operator(["alerts", "--data-dir", str(tmp_path)])
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.split() == ["alerts", "critical", "store_away", "for", "1", "h", "0", "m"]
    assert (second.strip(), third.strip()) == ("50 days�[2J", "→ update")
