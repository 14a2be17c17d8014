"""ledger: nothing is counted twice, nothing is lost, whatever sites senders make up."""

from __future__ import annotations

from trackflowd import ledger
from trackflowd.ledger import MAX_ROWS, NONE, OTHERS, Ledger


def test_what_has_a_site_is_of_it_and_the_rest_of_none() -> None:
    book = Ledger()
    book.add({"origin": 3, "bad_json": 2}, {("a", "origin"): 2, ("b", "origin"): 1})
    book.add({"origin": 1}, {("a", "origin"): 1})
    assert sorted(book.take()) == [(NONE, "bad_json", 2), ("a", "origin", 3), ("b", "origin", 1)]
    assert book.take() == []


def test_sites_without_end_become_one() -> None:
    book = Ledger()
    for n in range(MAX_ROWS + 50):
        book.add({"unknown_site": 2}, {(f"s{n}", "unknown_site"): 2})
    book.add({"unknown_site": 5}, {("s0", "unknown_site"): 5})  # known already
    rows = book.take()
    assert len(rows) == MAX_ROWS + 1
    counts = {site: number for site, _, number in rows}
    assert (counts["s0"], counts[OTHERS], sum(counts.values())) == (7, 100, 2 * (MAX_ROWS + 50) + 5)
    assert ledger.NONE not in counts
