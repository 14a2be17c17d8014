"""The bounded cache: what it keeps and what it forgets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackflowd.enrich.cache import Generations


def _ask(cache: Generations[int, str], key: int) -> str | None:
    return cache.get(key) or cache.promote(key)


def test_what_was_put_is_found() -> None:
    cache: Generations[int, str] = Generations(2)
    cache.put(1, "one")
    assert _ask(cache, 1) == "one"
    assert _ask(cache, 2) is None


@given(st.lists(st.integers(0, 30)), st.integers(1, 5))
def test_it_never_holds_more_than_two_generations_nor_a_wrong_value(keys: list[int], limit: int) -> None:
    cache: Generations[int, str] = Generations(limit)
    for key in keys:
        value = _ask(cache, key)
        if value is None:
            cache.put(key, str(key))
        else:
            assert value == str(key)
        assert _ask(cache, key) == str(key)
        assert len(cache) <= 2 * limit


def test_an_entry_in_use_outlives_any_number_of_others() -> None:
    cache: Generations[int, str] = Generations(4)
    cache.put(0, "kept")
    for key in range(1, 100):
        cache.put(key, "other")
        assert _ask(cache, 0) == "kept"


def test_an_entry_nobody_asks_for_is_gone_after_two_turns() -> None:
    cache: Generations[int, str] = Generations(4)
    cache.put(0, "old")
    cache.turn()
    cache.turn()
    assert _ask(cache, 0) is None


def test_a_bound_get_stays_valid_over_turns_and_clearing() -> None:
    cache: Generations[int, str] = Generations(1)
    get = cache.get
    cache.turn()
    cache.clear()
    cache.put(1, "one")
    assert get(1) == "one"
    cache.clear()
    assert get(1) is None
    assert len(cache) == 0


def test_a_cache_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError):
        Generations(0)
