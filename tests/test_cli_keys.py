"""cli_keys: what is asked for, what is said, and where the key goes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.control_stage import stage
from trackflowd import cli

KEY: dict[str, Any] = {
    "id": 481_516_234, "name": "server", "site": "a.example", "state": "active", "created_ms": 1_795_521_600_000,
    "expires_ms": None, "used_ms": None, "revoked_ms": None,
}  # fmt: skip
MADE = {**KEY, "key": "tfk_481516234_secret", "published": True}


@pytest.fixture(autouse=True)
def here() -> Iterator[None]:
    """People see times in their own zone; in these tests that is UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def run(tmp_path: Path, *words: str) -> int:
    return cli.operator(["--data-dir", str(tmp_path), "keys", *words])


def test_the_list_is_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = iter([[KEY], [KEY], []])
    with stage(tmp_path, {"keys": lambda: next(answers)}) as asked:
        assert run(tmp_path, "list", "--site", "a.example") == 0
        head, row = capsys.readouterr().out.splitlines()
        assert run(tmp_path, "list", "--json") == 0
        assert json.loads(capsys.readouterr().out) == [KEY]
        assert run(tmp_path, "list") == 0
    assert head.split() == ["id", "site", "name", "state", "made", "last", "used", "ends"]
    assert row.split() == "481516234 a.example server active 2026-11-24 12:00:00 never never".split()
    assert "trackflow keys add SITE" in capsys.readouterr().out
    assert [one["args"] for one in asked] == [{"site": "a.example"}, {"site": ""}, {"site": ""}]


def test_a_key_alone_is_on_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = {**KEY, "id": 3, "expires_ms": KEY["created_ms"] + 3_600_000}
    with stage(tmp_path, {"key_add": MADE, "key_rotate": {**MADE, "old": old, "published": False}}) as asked:
        assert run(tmp_path, "add", "a.example", "--expires", "90d") == 0
        out, err = capsys.readouterr()
        assert (out, "key 481516234 (server of a.example) works for" in err) == ("tfk_481516234_secret\n", True)
        assert run(tmp_path, "rotate", "a.example/server", "--overlap", "1h") == 0
        out, err = capsys.readouterr()
        assert run(tmp_path, "add", "*", "--name", "all", "--json") == 0
    assert (out, "follows 3, which works until 2026-11-24 13:00:00;" in err) == ("tfk_481516234_secret\n", True)
    assert "they know once there is room" in err
    assert json.loads(capsys.readouterr().out) == MADE
    assert [one["args"] for one in asked] == [
        {"site": "a.example", "name": "server", "expires": 90 * 86_400.0},
        {"which": "a.example/server", "overlap": 3600.0},
        {"site": "*", "name": "all", "expires": 0.0},
    ]


def test_a_revocation_names_what_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage(tmp_path, {"key_revoke": {"revoked": [KEY], "published": True}}) as asked:
        assert run(tmp_path, "revoke", "server") == 0
    assert capsys.readouterr().out == "key 481516234 (server of a.example) does not work any more\n"
    assert asked == [{"name": "key_revoke", "args": {"which": "server"}}]
