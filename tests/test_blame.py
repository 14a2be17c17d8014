"""Whose fault a refusal is."""

from __future__ import annotations

import pytest

from trackflowd.blame import PROBE, Blame, judge


@pytest.mark.parametrize(
    ("rows", "family", "differs", "landed", "verdict"),
    [
        (1000, 1000, False, False, Blame.HALVES),
        (1000 // PROBE, 1000, False, False, Blame.TABLE),  # halved enough, and nothing lands
        (1000 // PROBE, 1000, False, True, Blame.HALVES),  # others land: it is these rows
        (1, 1000, False, True, Blame.ROW),
        (1, 1000, False, False, Blame.TABLE),  # alone and refused says nothing of the row
        (1, 1, False, False, Blame.TABLE),
        (1, 1, False, True, Blame.ROW),
        (1000, 1000, True, True, Blame.TABLE),  # a table that is not the schema's is never the rows' fault
        (1, 1000, True, True, Blame.TABLE),
    ],
)
def test_rows_are_blamed_only_when_the_same_table_takes_others(
    rows: int, family: int, differs: bool, landed: bool, verdict: Blame
) -> None:
    assert judge(rows, family, differs, landed) is verdict


def test_probing_a_table_that_takes_nothing_ends_after_a_few_inserts() -> None:
    tried, pieces = 0, [50_000]
    while pieces:
        rows = pieces.pop()
        tried += 1
        if judge(rows, 50_000, False, False) is Blame.HALVES:
            pieces += [rows // 2, rows - rows // 2]
    assert tried <= 2 * PROBE * 2
