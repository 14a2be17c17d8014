"""bench report: the documents it takes, the page, the Markdown."""

from __future__ import annotations

import itertools
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from bench.__main__ import main
from bench.report import svg
from bench.report.documents import BadDocument, Peers, Run, parse, read
from bench.report.markdown import markdown
from bench.report.page import page
from bench.report.words import number, pairs
from tests.bench_documents import figure, peer, peers, run, scenario, written


def document(found: dict[str, Any]) -> Run | Peers:
    """As it is read."""
    return parse(msgspec.json.encode(found))


def a_run() -> dict[str, Any]:
    """One scenario of each sort."""
    saturated = scenario(
        "single", rate=figure(40_000, 400, "events/s", "higher"), cpu_us__worker=figure(20, 1),
        cpu_us__flusher=figure(8), cpu_us__generator=figure(12, better=None), cpu_us__total=figure(28),
        rss_mb__worker=figure(70, unit="MB"),
    )  # fmt: skip
    steady = scenario("open-loop", rate=figure(20_000, 0, "events/s", "higher"), p99=figure(2.5, unit="ms"))
    curve = [[0, 0.05], [50, 0.2], [99, 2.5], [99.9, 8.0], [100, 30.0]]
    steady["latency"] = {"unit": "ms", "curves": {"25 %": curve, "50 %": curve}}
    growth = scenario("growth", holds=None)
    points = [[0, 7.0], [5, 7.2], [10, 7.1]]
    growth["series"] = {"insert": {"x": "million rows", "y": "µs per event", "points": points}}
    return run(saturated, steady, growth)


class Page(HTMLParser):
    """What a browser would fetch, and whether every tag is closed."""

    VOID = ("meta",)

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.titles: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID and tag != "br":
            self.open.append(tag)
        self.fetched += [
            value or "" for name, value in attrs if name in ("src", "href", "data", "srcset", "xlink:href")
        ]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("path", "rect", "circle")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "title":
            self.titles.append(data)


def test_the_page_fetches_nothing_and_closes_what_it_opens() -> None:
    text = page(
        [document(a_run()), document(peers(peer("nginx", 1.0, denominator=True), peer("trackflowd", 1.5, 0.1)))]
    )
    found = Page(text)
    assert found.open == [] and found.fetched == []
    assert "url(" not in text and "@import" not in text and "<script" not in text
    assert "prefers-color-scheme:dark" in text and "width=device-width" in text


def test_the_page_has_a_chart_of_each_sort_and_says_where_it_was_made() -> None:
    text = page([document(a_run())])
    for title in ("Throughput", "Cost", "Memory", "Latency: open-loop", "growth: µs per event"):
        assert f"<h3>{title}</h3>" in text
    for fact in ("abc123", "a test&#x27;s", "16.0 GiB", "3.11.7", "repetitions", "2026-11-24T12:00:00"):
        assert fact in text


def test_every_chart_is_well_formed_and_its_marks_lie_within() -> None:
    text = page([document(a_run()), document(peers(peer("trackflowd", 1.5, 0.4), peer("slow", 80.0, 30.0)))])
    charts = re.findall(r"<svg .*?</svg>", text, re.DOTALL)
    assert len(charts) == 8
    for chart in charts:
        root = ElementTree.fromstring(chart)
        width, height = map(float, root.attrib["viewBox"].split()[2:])
        for path in root.iter("path"):
            for x, y in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", path.attrib["d"]):
                assert 0 <= float(x) <= width and 0 <= float(y) <= height
        for mark in root.iter("circle"):
            assert 0 <= float(mark.attrib["cx"]) <= width and 0 <= float(mark.attrib["cy"]) <= height


def test_bars_are_in_proportion_and_say_their_range() -> None:
    chart = svg.bars("a test", [svg.Bar("half", 10, 10, 10), svg.Bar("whole", 20, 18, 20)])
    lengths = [float(found) + 4 for found in re.findall(r'd="M0\.0 [\d.]+h([\d.]+)', chart)]
    assert lengths[1] == pytest.approx(2 * lengths[0], abs=0.2)
    assert "whole: 20 (18–20)" in chart and "half: 10<" in chart
    assert chart.count('class="spread"') == 1


def test_the_generator_and_the_sum_are_no_part_of_the_stack() -> None:
    titles = Page(page([document(a_run())])).titles
    assert [title for title in titles if title.startswith("single, ")] == [
        "single, worker: 20",
        "single, flusher: 8",
        "single, worker: 70",
    ]


def test_rates_of_different_units_are_not_in_one_chart() -> None:
    text = page(
        [document(run(scenario("a", rate=figure(1, unit="events/s")), scenario("b", rate=figure(2, unit="rows/s"))))]
    )
    assert text.count("<h3>Throughput</h3>") == 2


def test_figures_of_a_load_have_a_row_of_their_own_and_are_in_no_other_stack() -> None:
    found = scenario("open", rate=figure(90), cpu_us__worker=figure(20))
    found["figures"] |= {"rate@25%": figure(40), "cpu_us.worker@25%": figure(25)}
    assert markdown([document(run(found))]).splitlines()[4:] == [
        "| open | 90 | 20 | yes |",
        "| open 25% | 40 | 25 |  |",
    ]
    titles = Page(page([document(run(found))])).titles
    assert [title for title in titles if "worker" in title] == ["open, worker: 20", "open 25%, worker: 25"]


def test_scenarios_that_failed_or_were_skipped_are_named() -> None:
    found = document(
        run(
            scenario("one", p50=figure(1)),
            parameters={"failed": {"two": "the daemon ended"}, "skipped": {"three": "no"}, "quick": True},
        )
    )
    assert "a quick run: the figures mean nothing" in page([found])
    assert "two <b class=bad>failed</b>: the daemon ended" in page([found]) and "three was skipped: no" in page([found])
    assert markdown([found]).endswith("Not measured: two (the daemon ended); three (no).")


def test_lost_events_are_the_first_thing_said() -> None:
    text = page([document(run(scenario("one", holds=False, p50=figure(1))))])
    assert "<b class=bad>acked and stored differ in one</b>" in text


def test_names_from_a_document_are_text_and_not_markup() -> None:
    text = page([document(run(scenario("<script>alert(1)</script>", rate=figure(1)), commit="<i>&"))])
    assert "<script" not in text and "<i>&" not in text
    assert Page(text).open == []


def test_a_peer_that_was_skipped_is_named_with_the_reason() -> None:
    skipped = {"name": "goatcounter", "figures": {}, "skipped": "not here: go install it", "about": "x"}
    found = [document(peers(peer("trackflowd", 1.5), skipped))]
    assert "<b>Skipped</b>: not here: go install it" in page(found)
    assert markdown(found).endswith("Not measured: goatcounter (not here: go install it).")


def test_markdown_has_a_row_a_scenario_and_units_where_they_belong() -> None:
    lines = markdown([document(a_run())]).splitlines()
    assert lines[0].startswith("`python -m bench run`, 2026-11-24, commit abc123; a test's, 2 cores")
    assert lines[2] == (
        "| scenario | rate, events/s | p99, ms | worker, µs | flusher, µs | total, µs | acked = stored |"
    )
    assert lines[4] == "| single | 40,000 (39,800–40,200) |  | 20 (19.5–20.5) | 8 | 28 | yes |"
    assert lines[6] == "| growth |  |  |  |  |  |  |"


def test_markdown_of_peers_is_sorted_by_ratio() -> None:
    lines = markdown([document(peers(peer("slow", 9.0), peer("nginx", 1.0, version="nginx/1.22")))]).splitlines()
    assert [line.split(" | ")[0] for line in lines[4:]] == ["| nginx (nginx/1.22)", "| slow"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (73_600.4, "73,600"),
        (23.84, "23.8"),
        (0.0421, "0.0421"),
        (100, "100"),
        (-1.5, "-1.5"),
        (math.inf, "∞"),
    ],
)
def test_numbers_have_three_digits_that_say_something(value: float, text: str) -> None:
    assert number(value) == text


def test_nested_parameters_have_dotted_names_and_bytes_are_for_people() -> None:
    assert pairs({"a": {"b": 1}, "c": [1, 2], "memory_bytes": 2**20, "none": None}) == [
        ("a.b", "1"),
        ("c", "1, 2"),
        ("memory", "1 MiB"),
    ]


def test_a_percentile_axis_gives_each_nine_the_same_room() -> None:
    axis = svg.nines([50, 90, 99, 99.9, 100])
    places = [axis.place(value, 0.0, 1.0) for value in (0, 90, 99, 99.9, 100)]
    steps = [b - a for a, b in itertools.pairwise(places)]
    assert steps[0] == pytest.approx(steps[1]) == pytest.approx(steps[2])
    assert places[-1] == 1.0 and [words for _, words in axis.ticks] == ["p50", "p90", "p99", "p99.9", "max"]


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.0], ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        ([9.2, 6.7], ["0", "2", "4", "6", "8", "10"]),
        ([0.00031], ["0", "0.0001", "0.0002", "0.0003", "0.0004"]),
    ],
)
def test_a_linear_axis_has_round_ticks_from_zero(values: list[float], ticks: list[str]) -> None:
    assert [words for _, words in svg.linear(values).ticks] == ticks


def test_a_logarithmic_axis_takes_zero_for_its_low_end() -> None:
    axis = svg.logarithmic([0.0, 0.5, 30.0])
    assert [words for _, words in axis.ticks] == ["0.1", "1", "10", "100"]
    assert axis.place(0.0, 5.0, 9.0) == 5.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "not one JSON document"),
        (b"{", "not one JSON document"),
        (b'{"format": NaN}', "not one JSON document"),
        (b"\xff", "not one JSON document"),
        (b"[" * 100_000, "not one JSON document"),
        (b"[]", "not a document of a run"),
        (b"{}", "its kind is None"),
        (json.dumps({"worker_us": 1, "nginx_us": 2}).encode(), "`bench cost --json`"),
        (json.dumps({"latency_ms": None, "requests_s": 2}).encode(), "`bench traffic --json`"),
        (json.dumps({"kind": "comparison"}).encode(), "`bench compare --json`"),
        (json.dumps({**run(), "kind": ["run"]}).encode(), "its kind is ['run']"),
        (json.dumps({**run(), "format": 2}).encode(), "it has format 2, this version reads 1"),
        (json.dumps({**run(), "format": True}).encode(), "format"),
        (json.dumps({**run(), "scenarios": None}).encode(), r"`\$.scenarios`"),
        (json.dumps(run({"name": "a", "figures": {"p50": {"unit": "ms"}}})).encode(), r"\$.scenarios\[0\].figures"),
    ],
)
def test_what_is_no_such_document_is_refused_with_the_reason(text: bytes, words: str) -> None:
    with pytest.raises(BadDocument, match=words.replace("['run']", r"\['run'\]")):
        parse(text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadDocument, match=r"none\.json: No such file"):
        read(tmp_path / "none.json")


def test_the_page_is_written_where_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = written(tmp_path / "run.json", a_run())
    assert main(["report", found, "-o", str(tmp_path / "page.html")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'page.html'}\n"
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert main(["report", found, "-o", str(tmp_path / "no" / "page.html")]) == 1
    assert main(["report", "--markdown", found]) == 0
    assert "| single |" in capsys.readouterr().out


def test_a_wrong_document_exits_with_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", written(tmp_path / "x.json", {"kind": "else"}), "-o", str(tmp_path / "page.html")]) == 2
    said = capsys.readouterr().err
    assert "x.json" in said and "python -m bench run --json" in said
    assert not (tmp_path / "page.html").exists()
