"""bench compare: what counts as a change, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.__main__ import main
from bench.report.compare import compare, judge, lines
from bench.report.documents import BadDocument, Figure, Peers, Run, parse
from tests.bench_documents import figure, peer, peers, run, scenario, written
from trackflowd.cli_text import Style


def document(found: dict[str, Any]) -> Run | Peers:
    """As it is read."""
    return parse(msgspec.json.encode(found))


def a_figure(median: float, spread: float = 0.0, better: str | None = "lower") -> Figure:
    """As it is read."""
    return msgspec.convert(figure(median, spread, better=better), Figure)


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        (a_figure(10, 0.2), a_figure(10.5, 0.2), "regression"),
        (a_figure(10, 0.2), a_figure(9.5, 0.2), "gain"),
        (a_figure(10, 0.2, "higher"), a_figure(9.5, 0.2, "higher"), "regression"),
        (a_figure(10, 0.2, "higher"), a_figure(10.5, 0.2, "higher"), "gain"),
        (a_figure(10, 0.2, None), a_figure(10.5, 0.2, None), "change"),
        (a_figure(10, 0.6), a_figure(10.5, 0.0), ""),  # within A's range
        (a_figure(10, 0.0), a_figure(10.5, 0.6), ""),  # within B's range
        (a_figure(10, 0.0), a_figure(10.2, 0.0), ""),  # certain, and 2 %
        (a_figure(10, 0.0), a_figure(10, 0.0), ""),
        (a_figure(0, 0.0), a_figure(5, 0.0), "regression"),
        (a_figure(5, 0.0), a_figure(0, 0.0), "gain"),
    ],
)
def test_a_change_is_beyond_both_spreads_and_three_per_cent(a: Figure, b: Figure, verdict: str) -> None:
    assert judge(a, b) == verdict


def test_the_least_change_can_be_chosen() -> None:
    assert judge(a_figure(10), a_figure(10.4), least=5) == ""
    assert judge(a_figure(10), a_figure(10.1), least=0) == "regression"


def test_figures_of_different_units_are_not_compared() -> None:
    b = msgspec.convert(figure(500, unit="ms"), Figure)
    assert judge(a_figure(10), b) == ""


def test_regressions_come_first_and_the_worst_of_them_first() -> None:
    a = document(run(scenario("one", p50=figure(1), p99=figure(1), rate=figure(10, unit="1/s", better="higher"))))
    b = document(run(scenario("one", p50=figure(1.1), p99=figure(2), rate=figure(20, unit="1/s", better="higher"))))
    found = compare(a, b)
    assert [(change.verdict, change.figure) for change in found.changes] == [
        ("regression", "p99"),
        ("regression", "p50"),
        ("gain", "rate"),
    ]
    assert found.regressed


def test_lost_events_are_a_regression_whatever_the_figures() -> None:
    a, b = (document(run(scenario("one", holds=holds, p50=figure(1)))) for holds in (True, False))
    assert compare(a, b).broken == ["one"] and compare(a, b).regressed
    assert not compare(b, b).regressed  # they were lost before, too
    assert not compare(b, a).regressed


def test_what_failed_and_did_not_before_is_a_regression() -> None:
    a = document(run(scenario("one", p50=figure(1))))
    b = document(run(scenario("one", p50=figure(1)), parameters={"failed": {"two": "the daemon ended"}}))
    assert compare(a, b).failed == ["two"] and compare(a, b).regressed
    assert "regression: two failed, and did not before" in lines(compare(a, b), Style())
    assert not compare(b, b).regressed and not compare(b, a).regressed


def test_what_only_one_of_them_has_is_named() -> None:
    a = document(run(scenario("one", p50=figure(1), p90=figure(1)), scenario("gone", p50=figure(1))))
    b = document(run(scenario("one", p50=figure(1)), scenario("new", p50=figure(1))))
    found = compare(a, b)
    assert (found.only_a, found.only_b, found.unchanged) == (["one p90", "gone"], ["new"], 1)


def test_another_machine_and_other_parameters_are_named() -> None:
    a = document(run(scenario("one", p50=figure(1))))
    b = document(
        run(scenario("one", p50=figure(1)), machine={"cpu": "another", "load": [1.5]}, parameters={"repetitions": 5})
    )
    notes = "\n".join(compare(a, b).notes)
    assert "machine differ: cores: 2 / none; cpu: a test's / another" in notes
    assert "parameters differ: repetitions: 3 / 5" in notes


def test_of_peers_the_denominator_is_no_result_but_a_note() -> None:
    a = document(peers(peer("nginx", 1.0, denominator=True), peer("trackflowd", 1.5)))
    slower = peer("nginx", 1.0, denominator=True)
    slower["figures"]["cpu_us"] = figure(20)
    found = compare(a, document(peers(slower, peer("trackflowd", 1.5))))
    assert not found.changes
    assert found.notes == ["nginx itself went from 10 to 20 µs: look at the ratios"]


def test_a_run_is_not_compared_with_peers() -> None:
    with pytest.raises(BadDocument, match="two of the same"):
        compare(document(run(scenario("one", p50=figure(1)))), document(peers(peer("trackflowd", 1.5))))


def test_documents_with_nothing_in_common_are_refused() -> None:
    with pytest.raises(BadDocument, match="no figure in common"):
        compare(document(run(scenario("one", p50=figure(1)))), document(run(scenario("two", p50=figure(1)))))


def test_regressions_are_printed_and_exit_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = written(tmp_path / "a.json", run(scenario("one", cpu_us__worker=figure(20, 0.2))))
    b = written(tmp_path / "b.json", run(scenario("one", cpu_us__worker=figure(25, 0.2))))
    assert main(["compare", a, b]) == 1
    said = capsys.readouterr().out
    assert "regression  one    cpu_us.worker  20 (19.9–20.1)  25 (24.9–25.1)  µs    +25.0%" in said
    assert "1 regressions, 0 gains, 0 figures within their spread" in said
    assert main(["compare", b, a]) == 0
    assert main(["compare", a, b, "--least", "30"]) == 0


def test_stdout_is_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = written(tmp_path / "a.json", run(scenario("one", p50=figure(0), p99=figure(2))))
    b = written(tmp_path / "b.json", run(scenario("one", p50=figure(1), p99=figure(1))))
    assert main(["compare", a, b, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["regressed"] is True and (said["a"], said["b"]) == (a, b)
    assert [(row["figure"], row["verdict"], row["change"]) for row in said["changes"]] == [
        ("p50", "regression", None),
        ("p99", "gain", -0.5),
    ]
    assert said["changes"][1]["a"]["median"] == 2


def test_a_document_of_another_kind_exits_with_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = written(tmp_path / "a.json", run(scenario("one", p50=figure(1))))
    b = written(tmp_path / "b.json", {"worker_us": 1, "nginx_us": 1})
    assert main(["compare", a, b]) == 2
    assert "bench cost" in capsys.readouterr().err
    assert main(["compare", a, a, "--least", "-1"]) == 2
