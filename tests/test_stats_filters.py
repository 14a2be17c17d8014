"""stats.filters: what a filter's text means."""

from __future__ import annotations

import pytest

from trackflowd.errors import QueryError
from trackflowd.event import BY_NAME
from trackflowd.stats.filters import EVENT_FIELDS, MAX_VALUE, VISIT_FIELDS, Filter, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("page is /pricing", Filter("path", "is", "/pricing")),
        ("page=/pricing", Filter("path", "is", "/pricing")),
        ("country is not DE", Filter("country", "is not", "DE")),
        ("country != DE", Filter("country", "is not", "DE")),
        ("event contains sign", Filter("name", "contains", "sign")),
        ("event~sign", Filter("name", "contains", "sign")),
        ("event does  not contain sign up", Filter("name", "does not contain", "sign up")),
        ("event !~ sign", Filter("name", "does not contain", "sign")),
        ("source is Google", Filter("source", "is", "Google", of_visit=True)),
        ("campaign is ", Filter("utm_campaign", "is", "", of_visit=True)),
        ("campaign is", Filter("utm_campaign", "is", "", of_visit=True)),
        ("country=", Filter("country", "is", "")),
        ("property plan is pro", Filter("props", "is", "pro", "plan")),
        ("property:plan=pro", Filter("props", "is", "pro", "plan")),
        ("property a b~c", Filter("props", "contains", "c", "a b")),
        # The first operator counts: what follows is the value's.
        ("page is /a=b", Filter("path", "is", "/a=b")),
        ("page=/a is b", Filter("path", "is", "/a is b")),
        ("page is /what is this", Filter("path", "is", "/what is this")),
        ("page is isle", Filter("path", "is", "isle")),
        ("  city  is   München  ", Filter("city", "is", "München")),
    ],
)
def test_a_filter_is_read(text: str, expected: Filter) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no is, is not"),
        ("page", "no is, is not"),
        ("is /", "no is, is not"),
        ("=x", "nothing is called ''"),
        ("colour is red", "nothing is called 'colour'"),
        ("visitor is 5", "nothing is called 'visitor'"),
        ("path' OR 1=1", "nothing is called"),
        ("property is x", "nothing is called 'property'"),
        ("page contains ", "contains the empty one"),
        ("page is \0", "NUL"),
        ("page is " + "x" * (MAX_VALUE + 1), "at most"),
    ],
)
def test_what_is_no_filter_is_refused(text: str, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        parse(text)


def test_filters_look_at_columns_there_are() -> None:
    for column in (*EVENT_FIELDS.values(), *VISIT_FIELDS.values()):
        assert BY_NAME[column].kind == "text"
