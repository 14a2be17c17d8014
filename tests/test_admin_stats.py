"""admin_stats: what a statistic is asked with, and how it is answered; over a supervisor whose flusher answers with
what it was asked. tests/process/test_admin_api.py has the figures.
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from tests.admin_client import Asker, Reply
from tests.supervised import Running, play
from trackflowd.admin_desk import Desk
from trackflowd.admin_stats import StatsRoutes
from trackflowd.admin_words import Call
from trackflowd.audit import Audit
from trackflowd.errors import QueryError, TrackflowError
from trackflowd.proto import target
from trackflowd.stats import STATISTICS

BOUNDS = {"from": 1_793_491_200_000, "to": 1_793_577_600_000}
LIST = {"period": BOUNDS, "pages": [{"page": "/", "visitors": 1, "views": 2, "engaged_seconds": 0.5, "scroll": None}]}


def asked(name: str, query: str = "", value: Any = None) -> tuple[dict[str, Any], Any]:
    """Arguments of the command, and the answer."""
    seen: list[dict[str, Any]] = []

    async def stats(**args: Any) -> Any:
        seen.append(args)
        return value or {"period": BOUNDS, name: [], "totals": {}}

    async def run() -> Any:
        raw = f"/v1/stats/{name}?{query}".encode()
        return await StatsRoutes(Desk({"stats": stats}, lambda: 1.0, Audit(Path()))).statistic(
            Call(target.read(raw), {"name": name})
        )

    answer = asyncio.run(run())
    return seen[0], answer


def test_a_statistic_is_asked_with_everything_that_was_said() -> None:
    args, _ = asked(
        "pages",
        "site=demo&from=2026-11-01&to=1793577600000&zone=UTC&where=page+is+%2F&where=country+is+not+DE&bots=true&limit=3&offset=6",
    )
    assert args == {
        "name": "pages", **BOUNDS, "site": "demo", "zone": "UTC", "where": ["page is /", "country is not DE"],
        "bots": True, "limit": 3, "offset": 6, "interval": "", "property": "", "steps": [], "window": 0.0,
    }  # fmt: skip
    args, _ = asked("funnels", "step=page+is+%2F&step=event+is+signup&window=2h")
    assert (args["steps"], args["window"]) == (["page is /", "event is signup"], 7200)
    assert asked("funnels", "window=90")[0]["window"] == 90
    assert asked("properties", "property=plan")[0]["property"] == "plan"
    args, _ = asked("retention", "interval=day")
    assert (args["interval"], args["to"] - args["from"]) == ("day", 56 * 86_400_000)


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("form", ["json", "csv"])
def test_every_statistic_is_asked_for_without_further_arguments(name: str, form: str) -> None:
    args, answer = asked(name, f"format={form}")
    assert args["name"] == name
    assert bool(args["from"]) == bool(STATISTICS[name].period)
    assert answer.kind.startswith("text/csv" if form == "csv" else "application/json")


def test_csv_is_the_table() -> None:
    _, answer = asked("pages", "format=csv", LIST)
    head, row = csv.reader(io.StringIO(answer.body.decode()))
    assert (head[:3], row[:3]) == (["page", "visitors", "views"], ["/", "1", "2"])


def test_a_list_that_goes_on_links_to_its_next_page() -> None:
    query = "limit=1&where=page+is+%2F"
    _, answer = asked("pages", query, {**LIST, "next": 1})
    assert answer.headers == [("Link", f'</v1/stats/pages?{query}&offset=1>; rel="next"')]
    assert asked("pages", query, LIST)[1].headers == []


@pytest.mark.parametrize(
    ("name", "query", "code"),
    [
        ("nope", "", "not_found"),
        ("pages", "colour=red", "bad_arguments"),
        ("pages", "interval=day", "bad_arguments"),
        ("pages", "limit=1001", "bad_arguments"),
        ("pages", "limit=0", "bad_arguments"),
        ("pages", "offset=-1", "bad_arguments"),
        ("overview", "offset=1", "bad_arguments"),
        ("live", "period=7d", "bad_arguments"),
        ("refused", "bots=true", "bad_arguments"),
        ("pages", "format=xml", "bad_arguments"),
        ("pages", "bots=perhaps", "bad_arguments"),
        ("funnels", "window=soon", "bad_arguments"),
        ("pages", "site=a&site=b", "bad_arguments"),
        ("pages", "from=2&to=1", "query"),
        ("pages", "from=soon", "query"),
        ("pages", "zone=Mars", "query"),
        ("pages", "period=soon", "query"),
    ],
)
def test_what_makes_no_sense_is_not_asked(name: str, query: str, code: str) -> None:
    with pytest.raises(TrackflowError) as caught:
        asked(name, query)
    assert caught.value.code == code


def test_what_the_store_refuses_is_told() -> None:
    async def stats(**args: Any) -> Any:
        raise QueryError("no event of a site 'x' is stored")

    call = Call(target.read(b"/v1/stats/pages"), {"name": "pages"})
    with pytest.raises(QueryError, match="no event of a site"):
        asyncio.run(StatsRoutes(Desk({"stats": stats}, lambda: 1.0, Audit(Path()))).statistic(call))


def test_the_way_through_a_daemon(tmp_path: Path) -> None:
    def get(running: Running, token: str, path: str) -> Awaitable[Reply]:
        return asyncio.to_thread(Asker(running.supervisor.admin.address, token).get, path)

    async def story(running: Running) -> None:
        await running.ready()
        token = (await running.commands.handlers()["token_add"]("t", "read", 0))["token"]
        reply = await get(running, token, "/v1/stats/sources?limit=7")
        assert (reply.status, reply.json["name"], reply.json["args"]["limit"]) == (200, "sources", 7)
        assert reply.json["zone"] == "UTC"
        reply = await get(running, token, "/v1/stats/refused")
        assert (reply.json["totals"], reply.json["refused"]) == ({"refused": 0, "left_out": 0}, [])
        found = (await get(running, token, "/v1/stats")).json["stats"]
        assert [one["name"] for one in found] == list(STATISTICS)
        assert found[0]["parameters"] == ["site", "period", "from", "to", "zone", "bots", "format", "limit", "where"]
        assert (await get(running, token, "/v1/stats?x=1")).error == (400, "bad_arguments")

    play(tmp_path, story)
