"""Refusals by hour, site and reason: as many as the generator was refused, by both workers, over a restart."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.admin_client import Asker
from tests.process.harness import Daemon, until
from tests.process.test_sites import Office
from trackflowd.proto.refusals import STATUS


class Generator:
    """Sends what is refused, and counts."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.refused: Counter[tuple[str, str]] = Counter()

    def sends(self, times: int, code: str, *events: dict[str, Any], site: str = "", **headers: str) -> None:
        """Each of these events is refused for this reason, so many times."""
        for _ in range(times):
            status, answer = self._daemon.post(list(events), **headers)
            assert status in (STATUS[code], 400)
            assert [one["error"] for one in answer["refused"]] == [code] * len(events)
            self.refused[code, site or events[0]["site"]] += len(events)

    def sends_fast(self, times: int, *events: dict[str, Any]) -> None:
        """A request whose first event's site has a limit, which it is above from some time on."""
        for _ in range(times):
            status, answer = self._daemon.post(list(events), Origin="https://a.example")
            assert status in (200, 429)
            for event in events if status == 429 else ():
                self.refused[answer["error"], event["site"]] += 1

    def sends_raw(self, times: int, code: str, body: bytes) -> None:
        """A request that cannot be read."""
        for _ in range(times):
            assert self._daemon.request("/v1/events", body)[1]["error"] == code
            self.refused[code, "(none)"] += 1


def test_counts_are_what_the_generator_was_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Daemon(tmp_path, "store.url=null:", "sites.mode=registered") as daemon:
        office, generator = Office(daemon, capsys), Generator(daemon)
        office.says("sites", "add", "a.example", "origins=https://a.example", "gpc=refuse")
        office.says("sites", "add", "b.example", "bot_policy=refuse")
        office.says("sites", "add", "c.example", "rate=0.001", "burst=4")
        office.told()

        def told(*words: str) -> Counter[tuple[str, str]]:
            value = json.loads(office.says("stats", "refused", "--json", *words))
            return Counter({(row["reason"], row["site"]): row["count"] for row in value["refused"]})

        def send() -> None:
            a = {"site": "a.example", "name": "n"}
            generator.sends(7, "origin", a, a, a, Origin="https://other.example")
            generator.sends(5, "opted_out", a, Origin="https://a.example", Sec_GPC="1")
            generator.sends(6, "bot", {"site": "b.example", "name": "n"}, User_Agent="Googlebot/2.1")
            generator.sends(4, "unknown_site", {"site": "nobody.example", "name": "n"})
            generator.sends(3, "unknown_key", {"site": "a.example", "name": "n", "color": 1})
            generator.sends(2, "unknown_key", {"site": "nobody.example", "name": "n", "color": 1}, site="(none)")
            generator.sends_raw(9, "bad_json", b"{")
            generator.sends_fast(5, {"site": "c.example", "name": "n"}, a)
            until(lambda: told() == generator.refused)

        send()
        assert generator.refused["rate_limited", "c.example"] == generator.refused["rate_limited", "a.example"] == 1
        daemon.kill("worker 0")
        office.told()
        send()
        assert daemon.stop() == 0
        daemon.start()
        office.told()
        send()
        mine = {key: number for key, number in generator.refused.items() if key[1] == "a.example"}
        assert told("--site", "a.example", "--period", "24h") == mine
        shown = office.says("stats", "refused")
        assert "the page's origin is not one of the site's origins" in shown
        left_out = sum(number for (code, _), number in generator.refused.items() if STATUS[code] == 200)
        assert f"{sum(generator.refused.values()) - left_out} refused; {left_out} more answered 200" in shown
        admin = Asker(daemon.admin, office.says("tokens", "add", "t").strip())
        value = admin.get("/v1/stats/refused?site=a.example&period=24h").json
        assert {(row["reason"], row["site"]): row["count"] for row in value["refused"]} == mine
        assert told("--from", "2026-01-01", "--to", "2026-01-02") == {}
