"""trackflowd.proto.dialects: the registry."""

from __future__ import annotations

from trackflowd.counters import DIALECTS
from trackflowd.enrich import finish
from trackflowd.event import bound
from trackflowd.proto import dialects


def test_every_dialect_has_a_name_that_fits_its_column_and_a_route_of_its_own() -> None:
    loaded = dialects.load()
    assert [dialect.name for dialect in loaded] == list(DIALECTS)
    assert all(len(dialect.name.encode()) <= bound("dialect") for dialect in loaded)
    routes = [(route.method, route.path) for dialect in loaded for route in dialect.routes]
    assert len(set(routes)) == len(routes) >= len(loaded)


def test_a_route_is_a_path_or_the_option_that_lists_its_paths() -> None:
    assert dialects.Route(b"POST", "event_path").resolve({"event_path": ("/e", "/f")}) == ("/e", "/f")
    assert dialects.Route(b"POST", "/fixed").resolve({"event_path": ("/e",)}) == ("/fixed",)


def test_an_event_has_what_the_finisher_reads() -> None:
    for_admission = {"ip", "agent", "time_ms"}  # a server says them; the worker puts them in the place of its own
    assert set(finish.Event.__annotations__) == set(dialects.Event.__struct_fields__) - for_admission


def test_events_share_no_props() -> None:
    first, second = dialects.Event("s", "n", "d"), dialects.Event("s", "n", "d")
    first.props["a"] = "b"
    assert second.props == {}
