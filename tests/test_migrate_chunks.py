"""What a mover copies at once, and how lists of batches differ."""

from __future__ import annotations

import pytest

from trackflowd.migrate.chunks import Chunk, Landed, chunks, difference


def shapes(*landed: tuple[int, int, int], **bounds: int) -> list[tuple[int, list[int]]]:
    return [(one.month, list(one.batches)) for one in chunks((Landed(*each) for each in landed), **bounds)]


@pytest.mark.parametrize(
    ("landed", "bounds", "expected"),
    [
        ([], {}, []),
        ([(202611, 1, 5)], {}, [(202611, [1])]),
        ([(202611, 1, 5), (202611, 2, 5)], {}, [(202611, [1, 2])]),
        ([(202610, 1, 5), (202611, 2, 5)], {}, [(202610, [1]), (202611, [2])]),
        ([(202611, 1, 6), (202611, 2, 4), (202611, 3, 1)], {"max_rows": 10}, [(202611, [1, 2]), (202611, [3])]),
        ([(202611, 1, 99), (202611, 2, 1)], {"max_rows": 10}, [(202611, [1]), (202611, [2])]),
        ([(202611, n, 1) for n in range(5)], {"max_batches": 2}, [(202611, [0, 1]), (202611, [2, 3]), (202611, [4])]),
    ],
)
def test_a_chunk_is_of_one_month_whole_batches_and_within_its_bounds(
    landed: list[tuple[int, int, int]], bounds: dict[str, int], expected: list[tuple[int, list[int]]]
) -> None:
    assert shapes(*landed, **bounds) == expected


def test_a_chunk_is_named_by_all_that_is_in_it() -> None:
    one = Chunk(202611, {1: 5, 2: 6})
    assert one.id == Chunk(202611, {2: 6, 1: 5}).id
    others = [
        Chunk(202610, {1: 5, 2: 6}),
        Chunk(202611, {1: 5}),
        Chunk(202611, {1: 5, 2: 7}),
        Chunk(202611, {1: 5, 3: 6}),
    ]
    assert len({one.id, *(other.id for other in others)}) == 5
    assert (one.rows, one.last) == (11, 2)


def test_halves_hold_every_batch_once() -> None:
    first, second = Chunk(202611, {3: 1, 1: 2, 2: 3}).halves()
    assert (dict(first.batches), dict(second.batches)) == ({1: 2}, {2: 3, 3: 1})


def test_stores_differ_in_what_lacks_is_of_another_size_or_is_too_much() -> None:
    assert difference({1: 5, 2: 5, 3: 5}, {2: 4, 3: 5, 4: 1}) == ([1], [2], [4])
    assert difference({1: 5}, {1: 5}).none
    assert not difference({}, {1: 5}).none
