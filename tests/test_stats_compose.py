"""stats.compose: slots of the files, and that nothing from outside gets into SQL."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trackflowd import stats
from trackflowd.errors import QueryError
from trackflowd.stats.compose import LOOK_BACK_MS, STORES, Scope, compose, load
from trackflowd.stats.filters import Filter

FILES = {store: {path.stem for path in (Path(stats.__file__).parent / store).glob("*.sql")} for store in STORES}
EVIL = "x' OR {start_ms:Int64} {{kept}} \\"
FILTERS = [
    Filter("path", "is", EVIL),
    Filter("props", "contains", EVIL, EVIL + "y"),
    Filter("country", "is not", EVIL),
    Filter("name", "does not contain", "ok"),
    Filter("source", "is", EVIL, of_visit=True),
]


def test_both_stores_have_the_same_files() -> None:
    assert FILES["clickhouse"] - {"stamps", "unstamped"} == FILES["postgresql"], "only ClickHouse has projections"
    assert FILES["clickhouse"] >= stats.STATISTICS.keys() - {"refused"}


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("name", sorted(name for name in FILES["postgresql"] if not name.startswith("_")))
def test_every_slot_is_filled_and_values_stay_outside(store: str, name: str) -> None:
    scope = Scope(10, 20, EVIL + "z", FILTERS)
    sql, params = compose(store, name, scope, {"limit": 5}, [[FILTERS[0]], [FILTERS[1]]] if name == "funnels" else ())
    assert "{{" not in sql and "OR {start_ms" not in sql and "ok" not in sql
    if name != "sites":
        assert {EVIL, EVIL + "y", EVIL + "z", "ok"} <= set(params.values())
        own = {"limit", "offset", "edges", "window_ms", "property"}
        assert set(re.findall(r"\{(\w+):", sql)) - own <= params.keys()


def test_one_value_is_one_parameter() -> None:
    _, params = compose(
        "clickhouse", "countries", Scope(1, 2, "a", [Filter("city", "is", "a"), Filter("os", "is", "b")])
    )
    assert {name: value for name, value in params.items() if name.startswith("text_")} == {"text_0": "a", "text_1": "b"}


@pytest.mark.parametrize("store", STORES)
def test_bots_and_other_sites_are_left_out_unless_asked_for(store: str) -> None:
    for name in ("countries", "sources", "overview", "overview_of_visits", "live"):
        some, _ = compose(store, name, Scope(1, 2, "one"))
        everything, _ = compose(store, name, Scope(1, 2, "", bots=True))
        reads = some.count("FROM events" if store == "clickhouse" else "FROM counted")
        assert 0 < some.count("bot = ''") == reads == some.count("site = {text_0:String}")
        assert "bot = ''" not in everything and "site = {" not in everything


def test_what_lies_before_a_period_is_read_only_where_visits_are_made() -> None:
    assert "{read_ms:Int64}" not in compose("clickhouse", "countries", Scope(1, 2))[0]
    sql, params = compose("clickhouse", "sources", Scope(LOOK_BACK_MS + 1, LOOK_BACK_MS + 2))
    assert "{read_ms:Int64}" in sql and params["read_ms"] == 1
    assert compose("clickhouse", "sources", Scope(1, 2))[1]["read_ms"] == 0


def test_a_file_that_is_not_there_is_refused() -> None:
    for store, name in (("clickhouse", "nope"), ("clickhouse", "../clickhouse/pages"), ("null", "pages")):
        with pytest.raises(QueryError, match="no statistic"):
            load(store, name)


def test_comments_stay_in_the_files() -> None:
    assert all("--" not in load(store, name) for store in STORES for name in FILES[store])


def test_a_period_that_ends_behind_the_last_hour_of_the_engine_has_no_bound_there() -> None:
    """toStartOfHour gives 2106-02-07 06:28:15 for whatever is later, which is after that hour's begin."""
    for end_ms, bounded in ((2**32 * 1000 - 10_000_000, True), (2**32 * 1000 + 10_000_000, False)):
        sql, params = compose("clickhouse", "countries", Scope(0, end_ms))
        assert ("toStartOfHour(time) <=" in sql, "end_ms_hour" in params) == (bounded, bounded)
