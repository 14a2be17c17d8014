"""cli_debug: the request that is asked about, and how the decision is shown."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.control_stage import stage
from trackflowd import cli

ROW = {
    "index": 0, "received": 0, "site": "a.example", "name": "n", "path": "/x", "url": "https://a.example/x",
    "visitor": "00ff", "salt_day": "2026-11-29", "bot": "tool", "source": "letter\x1b", "utm_campaign": "may",
}  # fmt: skip
VALUE: dict[str, Any] = {
    "client": {"peer": "10.0.0.1", "trusted": True, "address": "81.2.69.9", "header": "x-forwarded-for", "hop": 2},
    "place": {"country": "GB", "region": "", "city": "London", "asn": 0},
    "agent": {"browser": "curl", "browser_version": "8", "os": "", "os_version": "", "device": "bot", "bot": "tool"},
    "request": {"method": "POST", "path": "/v1/events\x1b", "dialect": "native"},
    "answer": {"status": 200, "refused": "", "reason": "", "meaning": "", "remedy": ""},
    "events": [
        ROW,
        {
            "index": 1,
            "refused": "origin",
            "reason": "not from there",
            "meaning": "not one of `origins`",
            "remedy": "add it",
        },
    ],
}
OTHER = {
    **VALUE,
    "client": {"peer": "192.0.2.1", "trusted": False, "address": "192.0.2.1", "header": "", "hop": 0},
    "place": {"country": "", "region": "", "city": "", "asn": 0},
    "agent": dict.fromkeys(VALUE["agent"], ""),
    "request": {"method": "", "path": "", "dialect": ""},
    "answer": {
        "status": 400,
        "refused": "malformed",
        "reason": "no request",
        "meaning": "no HTTP",
        "remedy": "speak it",
    },
    "events": [],
}


def asked(tmp_path: Path, *words: str, value: dict[str, Any] = VALUE) -> tuple[str, str]:
    """The request and the peer that a command asks about."""
    (tmp_path / "control.sock").unlink(missing_ok=True)
    with stage(tmp_path, {"debug_request": value}) as found:
        assert cli.operator(["debug", "request", "--data-dir", str(tmp_path), *words]) == 0
    args = found[0]["args"]
    return args["request"], args["peer"]


def test_flags_make_a_request(tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text('{"ä": 1}')
    raw, peer = asked(tmp_path, "--body", f"@{tmp_path}/event.json", "--header", "DNT: 1", "--peer", "203.0.113.9")
    assert raw.encode("latin-1").decode() == (
        'POST /v1/events HTTP/1.1\r\nHost: localhost\r\nDNT: 1\r\nContent-Length: 9\r\n\r\n{"ä": 1}'
    )
    assert peer == "203.0.113.9"
    raw, peer = asked(tmp_path, "--url", "https://s.example:8/v1/pixel.gif?site=a#x")
    assert raw == "GET /v1/pixel.gif?site=a HTTP/1.1\r\nHost: s.example:8\r\n\r\n"
    assert peer == "127.0.0.1"
    raw, _ = asked(tmp_path, "--path", "/p", "--body", "x", "--header", "host: h", "--header", "Content-Length: 7")
    assert raw == "POST /p HTTP/1.1\r\nhost: h\r\nContent-Length: 7\r\n\r\nx"
    assert asked(tmp_path, "--path", "/p", "--method", "HEAD")[0].startswith("HEAD /p HTTP/1.1")


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        (b"POST / HTTP/1.1\nHost: x\n\n{}\n", "POST / HTTP/1.1\r\nHost: x\r\n\r\n{}\n"),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n\xff\n\n", "POST / HTTP/1.1\r\nHost: x\r\n\r\n\xff\n\n"),
        (b"GET / HTTP/1.1\nHost: x\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ],
)
def test_a_request_is_read_from_standard_input(
    typed: bytes, sent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed)))
    assert asked(tmp_path)[0] == sent


def test_flags_that_mean_nothing_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.operator(["debug", "request", "--header", "DNT: 1"]) == 2
    assert "need --url, --path or --body" in capsys.readouterr().err
    assert cli.operator(["debug", "request", "--body", "@/nowhere/at/all"]) == 1
    assert "/nowhere/at/all: No such file" in capsys.readouterr().err


def test_a_decision_is_shown_and_given_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked(tmp_path, "--path", "/p")
    shown = capsys.readouterr().out
    for text in (
        "81.2.69.9: x-forwarded-for, hop 2 from the right; by 10.0.0.1, a trusted proxy",
        "GB · London", "curl 8 bot", "read as native", "event 0 is taken", "00ff, with the salt of 2026-11-29",
        "utm_campaign may", "event 1 is refused, origin: not from there", "To do: add it",
    ):  # fmt: skip
        assert text in shown
    assert "\x1b" not in shown
    asked(tmp_path, "--path", "/p", value=OTHER)
    shown = capsys.readouterr().out
    for text in (
        "192.0.2.1, who connects",
        "not known",
        "no rule flags it",
        "cannot be read",
        "400 refused, malformed",
    ):
        assert text in shown
    asked(tmp_path, "--path", "/p", "--json")
    assert json.loads(capsys.readouterr().out) == VALUE
