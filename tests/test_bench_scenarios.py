"""The frame of bench/scenarios: figures, curves, documents, tables, options. Pure parts, and limits of the machine."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from setuptools import find_packages  # type: ignore[import-untyped]

from bench.scenarios import cli, figures, fill, idle_connections, spoiled
from bench.scenarios.figures import Series, Turn
from bench.scenarios.frame import Lender, Options, Pools, Scenario, Skipped, Stage
from bench.scenarios.processes import CORES, cpu_s, on
from bench.scenarios.registry import SCENARIOS
from bench.scenarios.tables import lines
from bench.traffic.histogram import Histogram
from bench.traffic.wire import Format
from tests.test_repository import ROOT, setup
from trackflowd.batch import partition_of
from trackflowd.cli_text import Style
from trackflowd.event import FIELDS

HOUR = 3_600_000
PLAIN = Options()


def histogram(*values_ms: float) -> Histogram:
    found = Histogram()
    for value in values_ms:
        found.record(int(value * 1e6))
    return found


def stage(path: Path, *turns: Turn, options: Options = PLAIN) -> Stage:
    made = Stage(options, path, Pools(1, 64), Lender(), lambda text: None)
    made.turns.extend(turns)
    return made


def scenario(load: str = "as fast as it goes") -> Scenario:
    return Scenario("some", "for a test", lambda stage: None, load, parameters={"more": 1})


# ------------------------------------------------------------------- figures


def test_a_figure_is_the_median_with_least_and_most() -> None:
    said = figures.summary({"rate": [10.0, 30.0, 20.0], "cpu_us.worker@50%": [4.0]})
    assert said["rate"] == {"unit": "events/s", "median": 20.0, "min": 10.0, "max": 30.0, "better": "higher"}
    assert said["cpu_us.worker@50%"]["unit"] == "µs/event"
    assert said["cpu_us.worker@50%"]["better"] == "lower"


def test_a_figure_without_a_unit_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        figures.summary({"bogus.worker": [1.0]})


@pytest.mark.parametrize("name", ["p50", "p90", "p99", "p99.9", "p99.9@25%"])
def test_percentiles_are_in_ms_and_better_when_low(name: str) -> None:
    assert figures.unit_of(name) == ("ms", "lower")
    assert set(figures.percentiles(histogram(1.0))) == {"p50", "p90", "p99", "p99.9"}


def test_warming_up_counts_for_the_promise_and_not_for_the_figures() -> None:
    turns = [Turn("", {"rate": 1.0}, 5, 5, warm_up=True), Turn("", {"rate": 9.0}, 7, 7)]
    said = figures.scenario_document("some", "", "load", {}, turns)
    assert said["figures"]["rate"]["median"] == 9.0
    assert said["acked"] == said["stored"] == 12
    assert [run["warm_up"] for run in said["runs"]] == [True, False]


@pytest.mark.parametrize(
    ("acked", "stored", "unanswered", "holds"),
    [(5, 5, 0, True), (5, 4, 0, False), (5, 6, 0, False), (5, 6, 1, True), (5, 7, 1, False), (5, 4, 9, False)],
)
def test_acked_is_stored_but_for_what_got_no_answer(acked: int, stored: int, unanswered: int, holds: bool) -> None:
    said = figures.scenario_document("some", "", "load", {}, [Turn("", {}, acked, stored, unanswered)])
    assert said["holds"] is holds


def test_one_turn_that_does_not_hold_is_not_evened_out_by_another() -> None:
    said = figures.scenario_document("some", "", "load", {}, [Turn("", {}, 5, 4), Turn("", {}, 5, 6)])
    assert said["acked"] == said["stored"] and said["holds"] is False


def test_a_curve_is_over_all_repetitions_of_its_load() -> None:
    fast, slow = histogram(*[1.0] * 99), histogram(5.0)
    turns = [Turn("", {}, latency=fast), Turn("", {}, latency=slow), Turn("50%", {}, latency=slow)]
    said = figures.curves(turns, "closed")
    assert said is not None and list(said["curves"]) == ["closed", "50%"]
    closed = dict(map(tuple, said["curves"]["closed"]))
    assert closed[50.0] == pytest.approx(1.0, rel=0.02) and closed[100.0] == 5.0
    assert list(closed) == sorted(closed) and list(closed.values()) == sorted(closed.values())
    assert fast.total == 99  # what was measured is left as it was


def test_nothing_answered_is_no_curve_and_no_line() -> None:
    assert figures.curves([Turn("", {}), Turn("", {}, latency=Histogram())], "x") is None
    assert figures.series([Turn("", {})]) is None


def test_a_line_is_that_of_the_last_measurement() -> None:
    first, last = Series("s", "MB", [(0.0, 1.0)]), Series("s", "MB", [(0.0, 2.0)])
    said = figures.series([Turn("", {}, points={"spool": first}), Turn("", {}, points={"spool": last})])
    assert said == {"spool": {"x": "s", "y": "MB", "points": [[0.0, 2.0]]}}


def test_a_document_is_json_of_the_shape_that_is_promised(tmp_path: Path) -> None:
    turn = Turn("25%", {"rate": 1 / 3, "p99": 2.0}, 3, 3, latency=histogram(1.0, 2.0))
    said = json.loads(json.dumps(stage(tmp_path, turn).document(scenario())))
    keys = ["name", "about", "parameters", "runs", "figures", "latency", "series", "acked", "stored", "holds"]
    assert list(said) == keys
    assert list(said["figures"]["rate@25%"]) == ["unit", "median", "min", "max", "better"]
    assert said["figures"]["rate@25%"]["median"] == 0.33333
    assert said["parameters"] == {"load": "as fast as it goes", "more": 1}
    assert said["latency"]["unit"] == "ms" and said["series"] is None


# --------------------------------------------------------------------- tables


def test_a_table_has_a_line_a_figure_and_a_column_a_load(tmp_path: Path) -> None:
    turns = [
        Turn("", {"rate": 12_345.0, "p99": 1.25}, 1, 1),
        Turn("", {"rate": 12_399.0, "p99": 1.25}, 1, 1),
        Turn("50%", {"rate": 6000.0}, 2, 2),
    ]
    text = lines(stage(tmp_path, *turns).document(scenario()), Style())
    assert text[0] == "some  for a test" and "medians of 2" in text[1]
    assert text[2].split() == ["as", "fast", "as", "it", "goes", "50%"]
    assert text[3].split() == "rate 12,372 (12,345 – 12,399) 6,000 events/s".split()
    assert text[4].split() == ["p99", "1.25", "ms"]
    assert text[-1].strip() == "acked = stored: 4"


def test_a_table_says_when_acked_and_stored_differ(tmp_path: Path) -> None:
    text = lines(stage(tmp_path, Turn("", {"rate": 1.0}, 5, 4)).document(scenario()), Style())
    assert "DIFFER: 5 acked, 4 stored" in text[-1]


# -------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("nothing",), "there is no scenario 'nothing': single, open"),
        (("single", "--seconds", "0"), "--seconds 0: not within 0.2"),
        (("--repeat", "0"), "--repeat 0"),
        (("--set", "ring.size"), "NAME=VALUE"),
        (("slow", "--server", "http://127.0.0.1"), "clickhouse://"),
        (("slow", "--server-command", "x"), "--server names its address"),
    ],
)
def test_wrong_usage_is_code_2_and_says_why(
    words: Sequence[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    said = capsys.readouterr()
    assert text in said.err and not said.out


def test_the_list_names_every_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(SCENARIOS)
    assert cli.main(["--list", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [name for name, one in said.items() if not one["by_default"]] == ["growth"]


def test_without_names_all_but_growth_run_and_names_keep_the_order() -> None:
    assert [one.name for one in cli._chosen([])] == [name for name in SCENARIOS if name != "growth"]
    assert [one.name for one in cli._chosen(["growth", "open", "single"])] == ["single", "open", "growth"]


def test_what_is_given_overrides_quick() -> None:
    args = cli._parser().parse_args(["--quick", "--repeat", "3", "--set", "a.b=c=d"])
    options = cli._options(args)
    assert (options.repeat, options.seconds, options.sets) == (3, cli.QUICK.seconds, {"a.b": "c=d"})


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    assert "python -m bench run growth --rows" in capsys.readouterr().out


def test_the_bench_is_packaged_with_its_command() -> None:
    cfg = setup()
    include = cfg["options.packages.find"]["include"].split()
    found = find_packages(str(ROOT), include=include)
    wanted = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "bench").rglob("__init__.py")}
    assert {"bench", "bench.scenarios", "bench.traffic", "bench.faults"} <= wanted <= set(found)
    assert not [name for name in found if name.split(".")[0] not in ("trackflowd", "bench")]
    assert "trackflow-bench = bench.__main__:main" in cfg["options.entry_points"]["console_scripts"]


# -------------------------------------------------------- processes and limits


def test_cpu_time_of_a_process_is_to_the_ns_and_grows() -> None:
    before = cpu_s(os.getpid())
    sum(range(100_000))
    assert before < cpu_s(os.getpid()) <= time.process_time()


def test_cpu_time_of_nobody_is_an_error() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        cpu_s(2**22 + 1)  # above the most a kernel gives


def test_a_core_is_kept_for_a_while_only() -> None:
    before = os.sched_getaffinity(0)
    with on(CORES[-1]):
        assert os.sched_getaffinity(0) == {CORES[-1]}
    assert os.sched_getaffinity(0) == before


def test_too_low_a_limit_of_open_files_skips_and_names_itself() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with pytest.raises(Skipped, match=r"RLIMIT_NOFILE.*--idle"), idle_connections.files(hard + 1):
        pass


def test_the_limit_of_open_files_is_raised_for_the_scenario_only() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with idle_connections.files(300):
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 300
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 256
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_a_server_and_outside_a_checkout_a_store_cannot_be_slowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spoiled, "_ROOT", tmp_path)
    with pytest.raises(Skipped, match="--server clickhouse://"):
        spoiled._store(stage(tmp_path))
    given = stage(tmp_path, options=Options(server="clickhouse://h:1/d", server_command="run it"))
    assert spoiled._store(given) == ("clickhouse://h:1/d", "run it")


# ----------------------------------------------------------------------- fill


def test_batches_of_the_filled_store_have_ids_and_times_of_their_own() -> None:
    made = fill.columns(70)
    now = 1_763_900_000_000
    batches = list(fill.batches(made, 170, now))
    assert [one.rows for one in batches] == [70, 70, 30]
    ids = [one for batch in batches for one in batch.columns["event_id"]]
    assert len(set(ids)) == 170 and {len(one) for one in ids} == {16}
    times = [at for batch in batches for at in batch.columns["received"]]
    assert times == sorted(times)
    assert times[0] == now - fill.DAYS * 24 * HOUR and now - HOUR * 24 < times[-1] < now
    for batch in batches:
        assert list(batch.columns) == [field.name for field in FIELDS]
        assert {len(column) for column in batch.columns.values()} == {batch.rows}
        assert {partition_of(at) for at in batch.columns["received"]} == {batch.partition}
        assert all(time <= at for time, at in zip(batch.columns["time"], batch.columns["received"], strict=True))
    assert not set(batches[0].columns["visitor"]) & set(batches[1].columns["visitor"])


def test_pools_are_made_once_for_a_form() -> None:
    pools = Pools(1, 64)
    assert pools.get(Format("single"), 0.0) is pools.get(Format("single"), 0.0)
    assert pools.get(Format("single"), 0.5) is not pools.get(Format("single"), 0.0)


def test_events_of_a_fresh_store_are_a_function_of_the_seed_and_those_of_another_are_new() -> None:
    assert [Pools.of(Options()).fresh_run() for _ in range(2)] == [0, 0]
    pools = Pools.of(Options())
    assert [pools.fresh_run() for _ in range(3)] == [0, 1, 2]
    asked = [Options(store="clickhouse://h/d"), Options(server="clickhouse://h/d")]
    assert all(len({Pools.of(one).fresh_run() for _ in range(5)}) > 1 for one in asked)


@pytest.mark.parametrize(
    ("keeps", "made"), [(False, ["+a", "-", "+a", "-", "+b", "-"]), (True, ["+a", "+b", "-", "-"])]
)
def test_what_is_lent_ends_with_its_use_or_is_kept_for_who_asks_for_the_same(keeps: bool, made: list[str]) -> None:
    seen: list[str] = []

    @contextmanager
    def make(name: str) -> Iterator[str]:
        seen.append(f"+{name}")
        try:
            yield name
        finally:
            seen.append("-")

    with Lender(keeps) as lender:
        for name in ("a", "a", "b"):
            with lender.lend(name, partial(make, name)) as lent:
                assert lent == name
    assert seen == made
