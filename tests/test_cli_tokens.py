"""cli_tokens: what is asked for, what is said, and where the token goes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.control_stage import stage
from trackflowd import cli

TOKEN: dict[str, Any] = {
    "id": 7, "name": "grafana", "scope": "read", "state": "active", "created_ms": 1_795_521_600_000,
    "expires_ms": None, "used_ms": None, "revoked_ms": None,
}  # fmt: skip
MADE = {**TOKEN, "token": "tft_7_secret"}


@pytest.fixture(autouse=True)
def here() -> Iterator[None]:
    """People see times in their own zone; in these tests that is UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def run(tmp_path: Path, *words: str) -> int:
    return cli.operator(["--data-dir", str(tmp_path), "tokens", *words])


def test_the_list_is_a_table_newest_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        {**TOKEN, "id": 9, "scope": "admin", "expires_ms": TOKEN["created_ms"] + 60_000},
        {**TOKEN, "state": "revoked", "used_ms": TOKEN["created_ms"] + 1000, "revoked_ms": TOKEN["created_ms"] + 5000},
    ]
    with stage(tmp_path, {"tokens": found}) as asked:
        assert run(tmp_path, "list") == 0
        assert run(tmp_path, "list", "--json") == 0
    assert asked == [{"name": "tokens", "args": {}}] * 2
    head, first, second, *rest = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "name", "scope", "state", "made", "last", "used", "ends"]
    assert first.split() == [
        "9",
        "grafana",
        "admin",
        "active",
        *"2026-11-24 12:00:00 never 2026-11-24 12:01:00".split(),
    ]
    assert second.split()[4:] == "2026-11-24 12:00:00 2026-11-24 12:00:01 2026-11-24 12:00:05".split()
    assert json.loads("\n".join(rest)) == found


def test_an_empty_list_says_how_one_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage(tmp_path, {"tokens": []}):
        assert run(tmp_path, "list") == 0
    assert "trackflow tokens add NAME" in capsys.readouterr().out


def test_a_token_alone_is_on_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage(tmp_path, {"token_add": MADE}) as asked:
        assert run(tmp_path, "add", "grafana") == 0
        out, err = capsys.readouterr()
        assert run(tmp_path, "add", "grafana", "--scope", "admin", "--expires", "90d", "--json") == 0
    assert (out, err) == (
        "tft_7_secret\n", "token 7 (grafana, read) works until it is revoked; keep it now, nothing shows it again:\n",
    )  # fmt: skip
    assert json.loads(capsys.readouterr().out) == MADE
    assert [one["args"] for one in asked] == [
        {"name": "grafana", "scope": "read", "expires": 0.0},
        {"name": "grafana", "scope": "admin", "expires": 90 * 86_400.0},
    ]


def test_a_rotation_says_how_long_the_old_one_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = {**TOKEN, "id": 3, "expires_ms": TOKEN["created_ms"] + 3_600_000}
    answers = iter([{**MADE, "old": old}, {**MADE, "old": {**old, "state": "expired"}}])
    with stage(tmp_path, {"token_rotate": lambda: next(answers)}) as asked:
        assert run(tmp_path, "rotate", "grafana") == 0
        out, err = capsys.readouterr()
        assert (out, "follows 3, which works until 2026-11-24 13:00:00;" in err) == ("tft_7_secret\n", True)
        assert run(tmp_path, "rotate", "3", "--overlap", "0") == 0
        assert "follows 3, which does not work any more;" in capsys.readouterr().err
    assert [one["args"] for one in asked] == [
        {"which": "grafana", "overlap": 86_400.0}, {"which": "3", "overlap": 0.0},
    ]  # fmt: skip


def test_a_revocation_names_what_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage(tmp_path, {"token_revoke": {"revoked": [TOKEN]}}) as asked:
        assert run(tmp_path, "revoke", "grafana") == 0
        assert capsys.readouterr().out == "token 7 (grafana) does not work any more\n"
        assert run(tmp_path, "revoke", "grafana", "--json") == 0
        assert json.loads(capsys.readouterr().out) == {"revoked": [TOKEN]}
    assert asked[0] == {"name": "token_revoke", "args": {"which": "grafana"}}


@pytest.mark.parametrize("words", [["add"], ["add", "a", "--expires", "soon"], ["rotate", "a", "--overlap", "x"]])
def test_what_makes_no_sense_is_not_sent(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.operator(["tokens", *words])
    assert "usage: trackflow tokens" in capsys.readouterr().err
