"""A real daemon says what it would decide, and nothing comes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.process.harness import Daemon
from tests.process.test_sites import Office

EVENT = {"site": "a.example", "name": "n", "url": "https://a.example/x"}
NETWORKS = "http.trusted_proxies=10.0.0.0/8"


def test_an_admins_token_asks_for_the_decision_on_a_real_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Daemon(tmp_path, "store.url=null:", "http.trusted_proxies=127.0.0.0/8") as daemon:
        office = Office(daemon, capsys)
        token = office.says("tokens", "add", "mine", "--scope", "admin").strip()
        reader = office.says("tokens", "add", "looks", "--scope", "read").strip()
        office.told()
        headers = {"X-Forwarded-For": "203.0.113.9"}
        for _ in range(8):  # by both workers: each connection may come to either
            code, told = daemon.post(EVENT, **headers, **{"X-Trackflow-Debug": token})
            assert (code, told["client"]["address"], told["events"][0]["name"]) == (200, "203.0.113.9", "n")
            assert daemon.post(EVENT, **{"X-Trackflow-Debug": reader})[1]["error"] == "bad_token"
        code, told = daemon.request("/nowhere", None, **{"X-Trackflow-Debug": token})
        assert (code, told["answer"]["refused"]) == (200, "not_found")
        office.says("tokens", "revoke", "mine")
        office.told()
        for _ in range(8):
            assert daemon.post(EVENT, **{"X-Trackflow-Debug": token})[0] == 401
        status = daemon.await_status(lambda status: status["totals"]["requests"] == 25)
        assert status["refusals"] == {"bad_token": 16}
        assert (status["totals"]["events_accepted"], status["totals"]["events_refused"]) == (0, 0)
        assert all(ring["used"] == 0 for ring in status["rings"])


def test_a_decision_is_the_running_daemons_and_nothing_comes_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Daemon(tmp_path, "store.url=null:", "sites.mode=registered", NETWORKS) as daemon:
        office = Office(daemon, capsys)

        def tried(*words: str) -> dict[str, object]:
            body = ("--body", json.dumps(EVENT), "--peer", "10.0.0.1", "--header", "X-Forwarded-For: 203.0.113.9")
            value: dict[str, object] = json.loads(office.says("debug", "request", "--json", *body, *words))
            return value

        value = tried()
        assert value["events"][0]["refused"] == "unknown_site"  # type: ignore[index]
        office.says("sites", "add", "a.example", "origins=https://a.example")
        office.told()
        value = tried("--header", "Origin: https://a.example")
        assert value["client"]["address"] == "203.0.113.9"  # type: ignore[index]
        assert value["answer"]["status"] == 200  # type: ignore[index]
        assert "event 0 is refused, origin" in office.says(
            "debug", "request", "--body", json.dumps(EVENT), "--header", "Origin: https://b.example"
        )
        assert [one["command"] for one in json.loads(office.says("audit", "--json"))].count("debug_request") == 3
        assert "203.0.113.9" not in office.says("audit", "--json")
        status = daemon.status()
        assert status["refusals"] == {}
        assert (status["totals"]["requests"], status["totals"]["events_accepted"]) == (0, 0)
        assert all(ring["used"] == 0 for ring in status["rings"])
