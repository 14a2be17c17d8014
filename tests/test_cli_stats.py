"""cli_stats: which period is meant, what is asked, and the answer as JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.control_stage import stage
from trackflowd import cli, stats
from trackflowd.cli_stats import local_zone

FIXED = ["--from", "2026-11-01T00:00Z", "--to", "2026-11-02T00:00Z", "--zone", "Europe/Berlin"]
BOUNDS = {"from": 1_793_491_200_000, "to": 1_793_577_600_000}


def test_the_zone_of_the_machine_is_found_by_name(tmp_path: Path) -> None:
    link = tmp_path / "localtime"
    link.symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    assert local_zone({}, link) == "Europe/Berlin"
    assert local_zone({"TZ": ":Asia/Tokyo"}, link) == "Asia/Tokyo"
    assert local_zone({"TZ": "CET-1CEST,M3.5.0"}, link) == "UTC"  # a rule, no name
    assert local_zone({}, tmp_path / "none") == "UTC"


LIST = {"period": BOUNDS, "pages": [{"page": "/", "visitors": 1, "views": 2, "engaged_seconds": 0.5, "scroll": None}]}
OVERVIEW = {
    "period": BOUNDS,
    "totals": {"visitors": 1, "views": 2},
    "previous": {"visitors": 0, "views": 0},
    "previous_period": {"from": BOUNDS["from"] - 86_400_000, "to": BOUNDS["from"]},
    "pages": [{"page": "/", "visitors": 1, "views": 2}],
}


def asked(tmp_path: Path, value: Any, *words: str, code: int = 0) -> list[dict[str, Any]]:
    directory = Path(tempfile.mkdtemp(dir=tmp_path))
    with stage(directory, {"stats": value}) as requests:
        assert cli.operator(["--data-dir", str(directory), "stats", *words]) == code
    return [request["args"] for request in requests]


def test_the_daemon_is_asked_with_everything_that_was_said(tmp_path: Path) -> None:
    words = [
        *("--site", "demo", "--limit", "3", "--where", "page is /", "--where", "country is not DE", "--bots"),
        *FIXED,
    ]
    assert asked(tmp_path, LIST, "pages", *words) == [
        {
            "name": "pages", **BOUNDS, "site": "demo", "zone": "Europe/Berlin", "limit": 3, "bots": True,
            "where": ["page is /", "country is not DE"],
        }
    ]  # fmt: skip
    [found] = asked(tmp_path, LIST, "pages", "--offset", "20", *FIXED)
    assert found["offset"] == 20
    words = ["--step", "page is /", "--step", "event is signup", "--window", "2h", *FIXED]
    [found] = asked(tmp_path, {"period": BOUNDS, "funnels": []}, "funnels", *words)
    assert (found["steps"], found["window"]) == (["page is /", "event is signup"], 7200)
    [found] = asked(tmp_path, {"period": BOUNDS, "properties": []}, "properties", "--property", "plan")
    assert found["property"] == "plan" and found["to"] - found["from"] == 7 * 86_400_000
    [found] = asked(tmp_path, {"period": BOUNDS, "retention": []}, "retention", "--by", "day")
    assert found["interval"] == "day"


def test_what_is_of_now_has_no_period(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [found] = asked(tmp_path, {**OVERVIEW, "minutes": []}, "live")
    assert "from" not in found
    assert "all sites" in capsys.readouterr().out


def test_refusals_are_asked_of_a_site_and_a_period(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"reason": "origin", "site": "a.example", "count": 3, "meaning": "why", "remedy": "how"}
    value = {"period": BOUNDS, "totals": {"refused": 3, "left_out": 0}, "refused": [row]}
    [found] = asked(tmp_path, value, "refused", "--site", "a.example", *FIXED)
    assert sorted(found) == ["from", "name", "site", "to", "zone"]
    out = capsys.readouterr().out
    assert "a.example" in out.splitlines()[0] and "origin  a.example" in out
    asked(tmp_path, value, "refused", "--csv")
    assert capsys.readouterr().out == "reason,site,count,meaning,remedy\norigin,a.example,3,why,how\n"


def test_people_are_told_site_period_and_filters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked(tmp_path, LIST, "pages", "--site", "demo\x1b", "--where", "page is /", *FIXED)
    head, _, names, row = capsys.readouterr().out.splitlines()
    assert head == "demo�  2026-11-01 00:00 to 2026-11-02 00:00 UTC  page is /"
    assert names.split() == ["pages", "visitors", "views", "engaged", "scroll"]
    assert row.split() == ["/", "1", "████████████████", "2", "500", "ms", "-"]


def test_people_are_told_that_there_is_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked(tmp_path, {**LIST, "next": 10}, "pages", *FIXED)
    assert capsys.readouterr().out.splitlines()[-1] == "more: --offset 10"


def test_json_holds_what_was_asked_and_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked(tmp_path, OVERVIEW, "overview", "--json", *FIXED[:4], "--zone", "Europe/Berlin")
    answer = json.loads(capsys.readouterr().out)
    assert answer["period"] == {"from": "2026-11-01T00:00:00+00:00", "to": "2026-11-02T00:00:00+00:00"}
    assert answer["previous_period"] == {"from": "2026-10-31T00:00:00+00:00", "to": "2026-11-01T00:00:00+00:00"}
    assert (answer["site"], answer["zone"], answer["where"]) == (None, "Europe/Berlin", [])
    assert answer["pages"] == OVERVIEW["pages"]


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_csv_is_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked(tmp_path, LIST, "pages", "--csv")
    assert read(capsys.readouterr().out) == [
        ["page", "visitors", "views", "engaged_seconds", "scroll"],
        ["/", "1", "2", "0.5", ""],
    ]
    asked(tmp_path, {"period": BOUNDS, "properties": []}, "properties", "--property", "plan", "--csv")
    assert read(capsys.readouterr().out) == [["value", "events", "visitors"]]


def test_csv_of_several_tables_has_a_line_for_each_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked(tmp_path, OVERVIEW, "overview", "--csv")
    head, *rows = read(capsys.readouterr().out)
    assert head == ["section", "name", "measure", "value"]
    assert rows == [
        *(["totals", "", "visitors", "1"], ["totals", "", "views", "2"]),
        *(["previous", "", "visitors", "0"], ["previous", "", "views", "0"]),
        *(["pages", "/", "visitors", "1"], ["pages", "/", "views", "2"]),
    ]


@pytest.mark.parametrize("form", ["--json", "--csv"])
@pytest.mark.parametrize("name", stats.STATISTICS)
def test_every_statistic_is_asked_for_without_further_arguments(
    name: str, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked(tmp_path, {"period": BOUNDS, "totals": {}, name: []}, name, form)
    out = capsys.readouterr().out
    assert json.loads(out) if form == "--json" else len(read(out)) == 1


def test_what_the_daemon_refuses_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked(tmp_path, ("query", "no event of a site 'x' is stored", "sites: one"), "overview", "--site", "x", code=1)
    assert capsys.readouterr().err == "trackflow: no event of a site 'x' is stored\n  sites: one\n"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["overview", "--zone", "Mars/Base"], "no time zone"),
        (["pages", "--period", "soon"], "no period"),
    ],
)
def test_what_makes_no_sense_is_not_sent(words: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.operator(["stats", *words]) == 1
    assert text in capsys.readouterr().err


def test_a_begin_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.operator(["stats", "pages", "--period", "7d", "--from", "2026-11-01"])
    assert ended.value.code == 2
    assert "--from: not allowed with argument --period" in capsys.readouterr().err


@pytest.mark.parametrize("window", ["0s", "soon"])
def test_a_window_is_a_span_of_time(window: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.operator(["stats", "funnels", "--window", window])
    assert "--window" in capsys.readouterr().err
