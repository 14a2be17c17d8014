"""bench/faults, its parts: the plan, the events, the acks, the judgement, the verdict, the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from bench.__main__ import NOUNS
from bench.__main__ import main as bench_main
from bench.faults import acks, cli, oracle
from bench.faults.daemon import free_port
from bench.faults.dialect import CLICKHOUSE, NAMES, POSTGRESQL, Dialect
from bench.faults.disk import Disk, NoDisk
from bench.faults.events import Events
from bench.faults.kinds import KINDS
from bench.faults.oracle import Findings, Oracle
from bench.faults.report import document, lines
from bench.faults.result import Account, Options, Result, broken
from bench.faults.schedule import COOL_DOWN, GAP, WARM_UP, plan
from bench.faults.traffic import Tally
from trackflowd.cli_text import Style

SPANS = {name: kind.lasts for name, kind in KINDS.items()}
EVENTS = Events(7, "r1")

# ---------------------------------------------------------------------------- plan


def test_the_plan_is_a_function_of_the_seed() -> None:
    assert plan(1, 600, SPANS) == plan(1, 600, dict(reversed(SPANS.items())))
    assert len({tuple(plan(seed, 60, SPANS)) for seed in range(20)}) == 20


def test_a_longer_run_begins_like_a_shorter_one() -> None:
    short = plan(3, 60, SPANS)
    assert plan(3, 120, SPANS)[: len(short)] == short


@pytest.mark.parametrize("seed", range(5))
def test_faults_keep_their_bounds_and_every_kind_has_its_turn(seed: int) -> None:
    shots = plan(seed, 600, SPANS)
    assert {shot.kind for shot in shots} == set(KINDS)
    assert shots[0].at == WARM_UP
    assert all(KINDS[shot.kind].lasts[0] <= shot.lasts <= KINDS[shot.kind].lasts[1] for shot in shots)
    assert all(b.at - a.at - a.lasts >= GAP[0] - 0.02 for a, b in pairwise(shots))
    assert shots[-1].at + shots[-1].lasts <= 600 - COOL_DOWN
    rounds = [sum(shot.kind == kind for shot in shots) for kind in KINDS]
    assert max(rounds) - min(rounds) <= 1


def test_without_a_kind_that_applies_nothing_is_planned() -> None:
    assert plan(1, 600, {}) == []


# -------------------------------------------------------------------------- events


def test_an_id_leads_back_to_its_number_and_only_in_its_own_seed() -> None:
    for n in (0, 1, 999, 2**40):
        assert EVENTS.number_of(EVENTS.id_of(n)) == n
        assert Events(8, "r1").number_of(EVENTS.id_of(n)) is None


def test_an_event_is_a_function_of_number_and_seed() -> None:
    assert EVENTS.row_of(5) == Events(7, "r1").row_of(5) != Events(8, "r1").row_of(5)
    assert len(EVENTS.row_of(5)) == len(NAMES)
    assert EVENTS.event_of(5, 0) | {"attempt": 2} == EVENTS.event_of(5, 2)


def test_about_half_of_all_requests_are_sent_again() -> None:
    assert 400 < sum(EVENTS.perseveres(n) for n in range(1000)) < 600


# ---------------------------------------------------------------------------- acks


def test_an_ack_counts_once_its_line_is_on_the_disk(tmp_path: Path) -> None:
    writer = acks.AckWriter(tmp_path / "acks")
    writer.add(3, 2)
    writer.add(9, 1)
    assert (writer.events, (tmp_path / "acks").read_text()) == (0, "")
    writer.sync()
    assert (writer.events, (tmp_path / "acks").read_text()) == (3, "3 2\n9 1\n")
    writer.close()


def test_a_line_that_was_not_finished_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "acks").write_text("3 2\n9 1\n10 4")
    assert list(acks.read(tmp_path / "acks")) == [(3, 2), (9, 1)]


# ------------------------------------------------------------------------- oracle


def judged(tmp_path: Path, acked: str, rows: list[tuple[str, ...]], sent: int = 10) -> tuple[Findings, str]:
    (tmp_path / "acks").write_text(acked)
    found = Oracle(EVENTS, sent, tmp_path / "failures")
    found.take_acks(tmp_path / "acks")
    found.take_rows(rows)
    findings = found.judge()
    return findings, (tmp_path / "failures").read_text() if (tmp_path / "failures").exists() else ""


def test_all_as_it_should_be_leaves_no_file(tmp_path: Path) -> None:
    found, text = judged(tmp_path, "0 4\n6 1\n", [EVENTS.row_of(n) for n in (0, 1, 2, 3, 6, 8)])
    assert (found.acked, found.stored, found.open_stored, found.open_not) == (5, 6, 1, 4)
    assert (found.lost, found.doubled, found.altered, found.unknown, text) == (0, 0, 0, 0, "")


def test_an_acked_event_without_a_row_is_lost(tmp_path: Path) -> None:
    found, text = judged(tmp_path, "0 3\n", [EVENTS.row_of(0), EVENTS.row_of(2)])
    assert (found.lost, text) == (1, f"lost 1 {EVENTS.id_of(1)}\n")


def test_two_rows_of_one_event_are_a_double_whether_it_was_acked_or_not(tmp_path: Path) -> None:
    found, text = judged(tmp_path, "0 1\n", [EVENTS.row_of(n) for n in (0, 0, 5, 5, 5)])
    assert (found.doubled, found.lost) == (2, 0)
    assert f"doubled 5 {EVENTS.id_of(5)} 3 rows, never answered" in text


@pytest.mark.parametrize("column", range(1, len(NAMES)))
def test_a_row_that_differs_in_any_column_is_altered(tmp_path: Path, column: int) -> None:
    row = list(EVENTS.row_of(1))
    row[column] += "x"
    found, text = judged(tmp_path, "0 2\n", [EVENTS.row_of(0), tuple(row)])
    assert (found.altered, found.lost) == (1, 0)
    assert NAMES[column] in text


def test_rows_that_nobody_sent_are_unknown(tmp_path: Path) -> None:
    rows = [Events(8, "r1").row_of(1), EVENTS.row_of(10), ("no uuid",), EVENTS.row_of(0)]
    found, text = judged(tmp_path, "0 1\n", rows)
    assert (found.unknown, found.altered, text.count("unknown")) == (3, 0, 3)


@pytest.mark.parametrize("dialect", [CLICKHOUSE, POSTGRESQL])
def test_rows_are_asked_for_in_parts_that_one_answer_can_hold(dialect: Dialect) -> None:
    asked: list[str] = []

    def query(sql: str) -> str:
        asked.append(sql)
        return f"n\n{3 * oracle.PART}\n" if "AS n" in sql else "a,b\n1,2\n"

    assert list(oracle.rows(query, EVENTS, dialect)) == [["1", "2"]] * 4
    assert [f"% 4 = {part}" in sql for part, sql in enumerate(asked[1:])] == [True] * 4


# ------------------------------------------------------------------------- verdict

ACCOUNT = Account(answered=350, received=350, stored=300, duplicates=50)


def a_result(**changes: object) -> Result:
    options = Options(60, 1, "clickhouse://u:secret@h/d", "", "", 16, 1000, 2, {}, 0, ["kill-worker"], Path("x"))
    kept = Result(options, "r1", fresh_s=1.0, settled=True, flushed=True, account=ACCOUNT)
    return replace(kept, **changes)  # type: ignore[arg-type]


def test_a_run_without_a_fault_in_it_keeps_the_promise() -> None:
    assert broken(a_result()) == []
    said = document(a_result(), None)
    assert (said["promise"], said["directory"]) == ("kept", None)
    assert "secret" not in json.dumps(said)
    assert any(line.startswith("kept") for line in lines(said, Style()))


@pytest.mark.parametrize(
    ("changes", "invariant"),
    [
        ({"findings": Findings(lost=1)}, "I1"),
        ({"findings": Findings(doubled=1)}, "I2"),
        ({"findings": Findings(altered=1)}, "I3"),
        ({"findings": Findings(unknown=1)}, "I4"),
        ({"fresh_s": 10.1}, "I5"),
        ({"fresh_s": None}, "I5"),
        ({"flushed": False}, "I5"),
        ({"tally": Tally(other={"500": 1})}, "I6"),
        ({"settled": False}, "I6"),
        ({"account": replace(ACCOUNT, stored=299)}, "I8"),
        ({"account": replace(ACCOUNT, answered=351)}, "I8"),
        ({"unexpected": ["ended by itself with code -7"]}, "the daemon ended"),
    ],
)
def test_whatever_is_not_as_promised_is_said_by_its_invariant(changes: dict[str, object], invariant: str) -> None:
    result = a_result(**changes)
    wrong = broken(result)
    assert len(wrong) == 1 and wrong[0].startswith(invariant)
    said = document(result, Path("kept"))
    assert said["promise"] == "broken"
    text = "\n".join(lines(said, Style()))
    assert "BROKEN" in text and wrong[0] in text and "kept" in text


def test_rows_in_spool_and_quarantine_are_accounted_for() -> None:
    assert replace(ACCOUNT, stored=200, spooled=60, quarantined=30, pending=10).holds


# -------------------------------------------------------------------- command line


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--faults", "flood"], "there is no 'flood'"),
        (["--seconds", "1"], "--seconds"),
        (["--store", "null:"], "read back"),
        (["--store", "clickhouse://h:x/d"], "--store"),
        (["--store-command", "x"], "embedded"),
        (["--set", "http.listen=0.0.0.0:80"], "runner's own"),
        (["--set", "nonsense"], "NAME=VALUE"),
        (["--disk", "big"], "--disk big"),
        (["--keep", "."], "not empty"),
    ],
)
def test_wrong_usage_is_code_2_and_says_what_would_be_right(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    assert text in capsys.readouterr().err


def test_the_kinds_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--list"]) == 0
    assert "kill-flusher-in-insert" in capsys.readouterr().out
    assert cli.main(["--list", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(KINDS)


def test_bench_names_its_nouns(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_main(["--help"]) == 0
    said = capsys.readouterr().out
    assert [noun for noun in NOUNS.values() if noun.example not in said or noun.about not in said] == []
    assert bench_main([]) == bench_main(["speed"]) == 2
    assert "there is no 'speed'" in capsys.readouterr().err


# ------------------------------------------------------------------------ machinery


def test_a_port_is_not_one_the_kernel_gives_to_clients() -> None:
    least = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(free_port() < least for _ in range(20))


def test_a_disk_that_cannot_be_mounted_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Disk, "_enter_namespace", lambda self: None)  # the tests' own mounts stay as they are
    monkeypatch.setattr("bench.faults.disk._MS_PRIVATE", 0x4000_0000)
    with pytest.raises(NoDisk, match="mount"):
        Disk(tmp_path / "nowhere", 2**20)
