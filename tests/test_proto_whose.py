"""proto.whose: the site that an event names which is none."""

from __future__ import annotations

import pytest

from trackflowd.proto.request import Request
from trackflowd.proto.whose import of_json


def named(body: bytes, *places: int) -> list[str]:
    return of_json(Request(b"POST", b"/", {}, True, False, body), places)


@pytest.mark.parametrize(
    ("body", "site"),
    [
        (b'{"site": "a.example", "name": 5, "color": {"x": [1]}}', "a.example"),
        (b' {"name": 5}', ""),
        (b'{"site": 5, "name": "n"}', ""),
        (b'{"site": null}', ""),
        (b'"a.example"', ""),
        (b'{"site": "\xff"}', ""),
    ],
)
def test_of_one_event(body: bytes, site: str) -> None:
    assert named(body, 0) == [site]


def test_of_an_array_only_what_is_asked_for() -> None:
    body = b'\n[{"site": "a"}, 7, {"site": "b", "name": []}, {"site": "c"}, [{"site": "d"}]]'
    assert named(body, 1, 2, 4) == ["", "b", ""]
    assert named(body) == []
