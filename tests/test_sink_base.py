"""sink.base: choosing a sink, and what does not leave it."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest

from tests.batches import batch
from trackflowd.errors import ConfigError
from trackflowd.sink.base import MAX_ERROR_TEXT, Coded, SinkOptions, masked, open_sink, shorten


@pytest.mark.parametrize(
    ("url", "identity"),
    [
        ("null:", "null:"),
        ("chdb:", "chdb:"),
        ("chdb:///srv/a%20b", "chdb:///srv/a b"),
        ("clickhouse://h", "clickhouse://h:8123/trackflow"),
        ("clickhouses://u:p@h/d", "clickhouses://h:8443/d"),
        ("postgresql://u:p@h/d", "postgresql://h:5432/d"),
        ("postgres://u@/d?host=/run/postgresql", "postgresql:///run/postgresql:5432/d"),
        ("clickhouse://u:p%40x@[::1]:9/d", "clickhouse://::1:9/d"),
    ],
)
def test_a_url_names_a_store_and_its_identity_holds_no_secret(url: str, identity: str, tmp_path: Path) -> None:
    assert open_sink(url, SinkOptions(tmp_path)).identity == identity


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "mysql://h/d",
        "clickhouse:",
        "clickhouse://h:x/d",
        "clickhouse://h/d/e",
        "clickhouse://h/d?a=b",
        "chdb://h",
        "postgresql:///d",
        "postgresql://h/d/e",
    ],
)
def test_what_is_no_store_is_refused_by_name(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="store url"):
        open_sink(url, SinkOptions(tmp_path))


def test_the_refusal_of_a_url_does_not_show_its_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        open_sink("clickhaus://u:secret@h", SinkOptions(tmp_path))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("clickhouse://u:secret@h:1/d", "clickhouse://u:***@h:1/d"),
        ("clickhouse://u@h", "clickhouse://u@h"),
        ("chdb:", "chdb:"),
        ("postgresql://u:secret@/d?host=/run/pg", "postgresql://u:***@/d?host=/run/pg"),
        ("clickhouse://u:secret@[", "clickhouse:…"),
        ("https://u:secret@hooks.example:8443/services/secret?key=secret", "https://hooks.example:8443/…"),
    ],
)
def test_a_masked_url_shows_all_but_the_password(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_every_attempt_has_a_token_of_its_own() -> None:
    assert batch(0xAB, range(1)).token == f"{0xAB:032x}.1"
    assert batch(0xAB, range(1), attempt=2).token == f"{0xAB:032x}.2"


def test_an_error_text_is_one_short_line() -> None:
    assert shorten(" a\n b\t") == "a b"
    assert len(shorten("x" * 10_000)) == MAX_ERROR_TEXT


@pytest.mark.parametrize("codes", [bytes([1, 0, 1]), array("H", [1, 0, 1])])
def test_a_coded_column_is_a_sequence_of_its_values(codes: bytes | array[int]) -> None:
    column = Coded(["a", "b"], codes)
    assert (list(column), len(column), column[1], column[-1], list(column[:2])) == (
        ["b", "a", "b"],
        3,
        "a",
        "b",
        ["b", "a"],
    )
