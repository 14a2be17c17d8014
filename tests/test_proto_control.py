from __future__ import annotations

import struct
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackflowd.errors import ControlError
from trackflowd.proto.control import (
    MAX_FRAME,
    BadRequest,
    Decoder,
    check_hello,
    encode,
    hello,
    read_id,
    read_request,
)

MESSAGES = st.lists(st.dictionaries(st.text(max_size=5), st.integers(-(2**60), 2**60) | st.binary(max_size=20)))


@given(MESSAGES, st.integers(1, 9))
def test_messages_arrive_whole_in_whatever_pieces_they_come(messages: list[dict[str, Any]], size: int) -> None:
    raw = b"".join(encode(message) for message in messages)
    decoder = Decoder()
    found = [got for at in range(0, len(raw), size) for got in decoder.feed(raw[at : at + size])]
    assert found == messages


def test_a_frame_is_its_length_and_a_map() -> None:
    assert encode({"id": 1}) == b"\0\0\0\5" + msgpack.packb({"id": 1})
    assert Decoder().feed(encode({})) == [{}]


GARBAGE = {
    "not our length": b"GET / HTTP/1.1\r\n\r\n",
    "too long": struct.pack(">I", MAX_FRAME + 1),
    "not msgpack": b"\0\0\0\1\xc1",
    "an array": b"\0\0\0\1\x90",
    "a number": b"\0\0\0\1\x01",
    "empty": b"\0\0\0\0",
    "keys that are not text": b"\0\0\0\3\x81\x01\x01",
    "keys that are bytes": b"\0\0\0\5\x81\xc4\x01a\x01",
    "more than one value": b"\0\0\0\2\x80\x80",
    "half a map": b"\0\0\0\2\x82\xa1",
    "an array that claims 4 GiB": b"\0\0\0\5\xdd\xff\xff\xff\xff",
    "very deep": struct.pack(">I", 100_000) + b"\x91" * 100_000,
    "text that is not UTF-8": b"\0\0\0\4\x81\xa1\xff\x01",
}


@pytest.mark.parametrize("raw", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_an_error_and_not_a_message(raw: bytes) -> None:
    with pytest.raises(ControlError):
        Decoder().feed(raw)


def test_a_frame_over_the_limit_is_refused_before_it_is_read() -> None:
    decoder = Decoder(limit=100)
    with pytest.raises(ControlError, match="the most is 100"):
        decoder.feed(struct.pack(">I", 101))


def test_what_does_not_fit_is_not_sent() -> None:
    with pytest.raises(ControlError, match="the most is"):
        encode({"value": bytes(MAX_FRAME)})
    with pytest.raises(ControlError, match="cannot be sent"):
        encode({"value": object()})
    with pytest.raises(ControlError, match="cannot be sent"):
        encode({"value": 2**80})


def test_a_request_gets_its_defaults() -> None:
    request = read_request({"id": 7, "name": "query", "args": {"sql": "SELECT 1"}})
    assert (request.id, request.command.name) == (7, "query")
    assert request.args == {"sql": "SELECT 1", "format": "table", "params": None}


BAD = {
    "no such command": ({"id": 1, "name": "frobnicate"}, "unknown_command"),
    "no name": ({"id": 1}, "unknown_command"),
    "a name that is no text": ({"id": 1, "name": []}, "unknown_command"),
    "an argument too many": ({"id": 1, "name": "status", "args": {"x": 1}}, "bad_arguments"),
    "one that lacks": ({"id": 1, "name": "query"}, "bad_arguments"),
    "one of another kind": ({"id": 1, "name": "query", "args": {"sql": 1}}, "bad_arguments"),
    "a bool for a number": ({"id": 1, "name": "flush", "args": {"wait": True}}, "bad_arguments"),
    "no number": ({"id": 1, "name": "flush", "args": {"wait": float("nan")}}, "bad_arguments"),
    "an endless number": ({"id": 1, "name": "flush", "args": {"wait": float("inf")}}, "bad_arguments"),
    "a number for a flag": ({"id": 1, "name": "replay", "args": {"since": 1, "dry_run": 1}}, "bad_arguments"),
    "a text for a list": ({"id": 1, "name": "spool_drop", "args": {"names": "x"}}, "bad_arguments"),
    "a list of what is no text": ({"id": 1, "name": "spool_drop", "args": {"names": ["x", 1]}}, "bad_arguments"),
    "arguments that are no map": ({"id": 1, "name": "status", "args": [1]}, "bad_arguments"),
}


@pytest.mark.parametrize(("message", "code"), BAD.values(), ids=BAD)
def test_a_request_that_cannot_be_acted_on_says_why(message: dict[str, Any], code: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_request(message)
    assert caught.value.code == code
    assert caught.value.text


@pytest.mark.parametrize("number", [None, "1", 1.5, True])
def test_a_message_without_an_id_cannot_even_be_refused(number: object) -> None:
    with pytest.raises(ControlError) as caught:
        read_id({"id": number, "name": "status"})
    assert not isinstance(caught.value, BadRequest)


def test_hello_is_checked() -> None:
    assert check_hello(hello("1.2.3")) == "1.2.3"
    with pytest.raises(ControlError, match="not trackflowd"):
        check_hello({"hi": "there"})
    with pytest.raises(ControlError, match="protocol 99"):
        check_hello({**hello("1"), "protocol": 99})
