"""trackflowd.proto.native: what an event says, and what it cannot say."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackflowd.errors import Refused
from trackflowd.proto import native
from trackflowd.proto.dialects import Event, Limits, RefusedEvent
from trackflowd.proto.request import Request

LIMITS = Limits(max_events=5)


def request(body: bytes) -> Request:
    made = Request(b"POST", b"/v1/events", {}, True, False)
    made.body = body
    return made


def one(**more: Any) -> Event:
    body = json.dumps({"site": "example.org", "name": "n", **more}).encode()
    (event,), refused = native.read(request(body), LIMITS)
    assert not refused
    return event


def code_of(**more: Any) -> str:
    with pytest.raises(Refused) as caught:
        one(**more)
    return caught.value.code


def test_every_key_is_taken() -> None:
    event = one(
        url="https://example.org/a",
        referrer="https://example.com/",
        title="A page",
        id="0190c8a2-9a1b-7c3d-8e4f-0123456789AB",
        age_ms=1500,
        attempt=2,
        props={"plan": "pro", "n": 3, "f": 1.5, "yes": True, "no": False, "gone": None, "big": 2**63 - 1},
        revenue={"amount": "12.34", "currency": "EUR"},
        user="u-1",
        screen="1920x1080",
        viewport="800x600",
        lang="de-CH",
        tz="Europe/Zurich",
        engaged_ms=86_400_000,
        scroll=100,
    )
    assert event == Event(
        site="example.org",
        name="n",
        dialect="native",
        url="https://example.org/a",
        referrer="https://example.com/",
        title="A page",
        id=uuid.UUID("0190c8a2-9a1b-7c3d-8e4f-0123456789ab").bytes,
        client_id=True,
        age_ms=1500,
        attempt=2,
        props={"plan": "pro", "n": "3", "f": "1.5", "yes": "true", "no": "false", "big": str(2**63 - 1)},
        revenue_e4=123_400,
        currency="EUR",
        user="u-1",
        screen="1920x1080",
        viewport="800x600",
        lang="de-CH",
        tz="Europe/Zurich",
        engaged_ms=86_400_000,
        scroll=100,
    )


def test_null_empty_and_missing_are_the_same() -> None:
    keys = [key for key in native.Wire.__struct_fields__ if key not in ("site", "name")]
    assert one(**dict.fromkeys(keys)) == one()
    assert one(id="", lang="", user="", screen="", props={}) == one()


def test_an_id_that_is_no_uuid_is_hashed_and_one_that_looks_like_it_but_is_not_too() -> None:
    for text in ("order 7", "0190c8a2-9a1b-7c3d-8e4f-0123456789a", "0190c8a29a1b7c3d8e4f0123456789ab", "ü" * 64):
        assert one(id=text).id == hashlib.blake2b(text.encode(), digest_size=16).digest()
    assert code_of(id="ü" * 65) == "bad_value"
    odd = "0190c8a2 9a1b 7c3d 8e4f  123456789ab"
    assert one(id=odd).id == hashlib.blake2b(odd.encode(), digest_size=16).digest()


def test_text_is_cut_on_a_code_point_and_nul_is_taken_out() -> None:
    event = one(title="ü" * 400, lang="l" * 50, tz="t" * 100, user="u" * 200, props={"k" * 99: "v" * 2000})
    assert (len(event.title.encode()), len(event.lang), len(event.tz), len(event.user)) == (512, 35, 64, 128)
    assert event.props == {"k" * 64: "v" * 1024}
    event = one(title="a\0b", user="\0", id="\0", props={"a\0": "\0b"}, url="/\0")
    assert (event.title, event.user, event.id, event.props, event.url) == ("ab", "", None, {"a": "b"}, "/")


def test_a_backslash_before_u0000_is_no_nul() -> None:
    assert one(title="a\\u0000b").title == "a\\u0000b"


@pytest.mark.parametrize(
    ("amount", "units"),
    [
        (0, 0),
        (1, 10_000),
        (-2.5, -25_000),
        (0.1 + 0.2, 3000),
        (19.99, 199_900),
        ("0.00005", 1),
        ("-0.00005", -1),
        ("0.000049999", 0),
        ("+7", 70_000),
        (999_999_999_999.9999, 9_999_999_999_999_999),
        ("999999999999.99994", 9_999_999_999_999_999),
    ],
)
def test_an_amount_is_kept_to_the_ten_thousandth(amount: float | str, units: int) -> None:
    assert one(revenue={"amount": amount, "currency": "CHF"}).revenue_e4 == units


@pytest.mark.parametrize(
    "amount", [1e12, -1e12, 10**12, 2**64, 1e300, "999999999999.99995", "1e3", "", "1,5", "١", " "]
)
def test_an_amount_that_is_none_is_refused(amount: float | str) -> None:
    assert code_of(revenue={"amount": amount, "currency": "CHF"}) == "bad_value"


@pytest.mark.parametrize("key", ["ip", "agent", "time"])
def test_keys_of_servers_need_a_server_key_whatever_their_value(key: str) -> None:
    values: tuple[object, ...] = ("x", 1, {}, [])
    for value in values:
        assert code_of(**{key: value}) == "forbidden_key"


def test_an_array_is_taken_as_far_as_it_is_good() -> None:
    body = b'[{"site":"s","name":"a"},{"site":"s"},{"site":"s","name":"b","attempt":-1}, {"site":"s","name":"c"}]'
    events, refused = native.read(request(body), LIMITS)
    assert [event.name for event in events] == ["a", "c"]
    assert [(bad.index, bad.error) for bad in refused] == [(1, "missing_key"), (2, "bad_value")]


@pytest.mark.parametrize(("count", "code"), [(0, "empty"), (6, "too_many_events")])
@pytest.mark.parametrize("broken", [b"", b'{"site":1}'])
def test_the_number_of_events_has_bounds(count: int, code: str, broken: bytes) -> None:
    parts = [broken or b'{"site":"s","name":"a"}'] * count
    with pytest.raises(Refused) as caught:
        native.read(request(b" [" + b",".join(parts) + b"]"), LIMITS)
    assert caught.value.code == code


def test_the_answer_lists_what_was_refused() -> None:
    bad = [RefusedEvent(1, "bad_type", "why")]
    assert json.loads(native.reply(2, bad).body) == {
        "accepted": 2,
        "refused": [{"index": 1, "error": "bad_type", "reason": "why"}],
    }
    assert native.reply(2, bad).status == 200


def test_when_none_is_good_the_status_is_theirs_if_they_agree() -> None:
    forbidden = RefusedEvent(0, "forbidden_key", "why")
    answer = native.reply(0, [forbidden, forbidden])
    assert answer.status == 403
    assert json.loads(answer.body)["error"] == "forbidden_key"
    answer = native.reply(0, [forbidden, RefusedEvent(1, "bad_type", "why")])
    assert (answer.status, json.loads(answer.body)["accepted"]) == (400, 0)


def test_a_reason_names_the_key() -> None:
    for body, reason in {
        b'{"site":"s","name":"n","color":1}': 'key "color" does not exist',
        b'{"site":"s","name":"n","revenue":{"amount":1}}': 'key "revenue.currency" is missing',
        b'{"site":"s","name":"n","age_ms":"1"}': "age_ms: Expected int or null, got str",
        b'{"site":"s","name":"n","' + b"k" * 999 + b'":1}': 'key "' + "k" * 64 + '…" does not exist',
    }.items():
        with pytest.raises(Refused) as caught:
            native.read(request(body), LIMITS)
        assert str(caught.value) == reason


@given(st.binary(max_size=60), st.integers(0, 40))
def test_no_body_brings_about_anything_but_a_refusal(noise: bytes, at: int) -> None:
    good = b'[{"site":"s","name":"n","props":{"a":"\\u00e4"},"id":"x"}]'
    for body in (noise, good[:at] + noise, good[:at] + noise + good[at:]):
        try:
            events, refused = native.read(request(body), LIMITS)
        except Refused as refusal:
            assert str(refusal)
        else:
            assert events or refused


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.floats() | st.booleans() | st.none(), max_size=40))
def test_props_are_within_bounds_or_refused(sent: dict[str, native.Scalar]) -> None:
    try:
        kept = native.properties(sent)
    except Refused:
        return
    assert len(kept) <= 30
    assert all(len(name.encode()) <= 64 and len(value.encode()) <= 1024 for name, value in kept.items())
