"""tokens: made, checked, rotated, revoked; what is on disk is no secret."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from unittest.mock import patch

import pytest

from trackflowd import bearer, tokens
from trackflowd.errors import DataDirError
from trackflowd.proto.control import BadRequest
from trackflowd.state import State
from trackflowd.tokens import ADMIN, READ, TokenRefused, Tokens

NOW = 1_800_000_000_000
HOUR = 3_600_000


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path)


@pytest.fixture
def table(state: State) -> Tokens:
    return Tokens(state)


def refused(table: Tokens, text: str, now_ms: int = NOW) -> str:
    with pytest.raises(TokenRefused) as caught:
        table.check(text, now_ms)
    assert text not in str(caught.value) or not text
    return caught.value.code


def wrong(code: str, call: object, *args: object) -> str:
    assert callable(call)
    with pytest.raises(BadRequest) as caught:
        call(*args)
    assert caught.value.code == code
    return caught.value.text


def test_a_token_works_as_soon_as_it_is_made_and_after_a_restart(state: State, table: Tokens) -> None:
    made, text = table.add("grafana", READ, 0, NOW)
    assert (made.number, made.name, made.scope, made.expires_ms) == (1, "grafana", "read", None)
    assert len(text.rpartition("_")[2]) >= 1 and text.startswith("tft_1_")
    assert table.check(text, NOW).number == 1
    again = Tokens(state)
    assert again.check(text, NOW).name == "grafana"
    assert again.all()[0].as_dict(NOW) == {
        "id": 1, "name": "grafana", "scope": "read", "state": "active", "created_ms": NOW, "expires_ms": None,
        "used_ms": NOW, "revoked_ms": None,
    }  # fmt: skip


def test_every_token_is_another_and_has_256_bits(table: Tokens) -> None:
    texts = [table.add(f"t{n}", ADMIN, 0, NOW)[1] for n in range(20)]
    secrets = {text.split("_", 2)[2] for text in texts}
    assert len(secrets) == 20
    assert {len(secret) for secret in secrets} == {43}
    assert all(table.check(text, NOW).number == n for n, text in enumerate(texts, 1))


def test_the_secret_is_nowhere_on_disk(tmp_path: Path, state: State, table: Tokens) -> None:
    _, text = table.add("grafana", READ, 0, NOW)
    secret = text.split("_", 2)[2]
    state.close()
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes()
    raw = (tmp_path / "state.sqlite").read_bytes()
    assert hashlib.sha256(secret.encode()).digest() in raw


@pytest.mark.parametrize(
    "text",
    ["", "x", "tft_1_", "tft_1", "tft_2_{}", "tft_01_{}", "tft_1_{}x", "tft_1_{}=", "TFT_1_{}",
     "tft_9999999999999999_{}", "tft_1_" + "A" * 43, "tft_1_é{}", "tft_-1_{}", "tft_1_{}\n", "tft_١_{}"],
)  # fmt: skip
def test_what_is_no_token_of_ours_is_refused(text: str, table: Tokens) -> None:
    _, real = table.add("grafana", READ, 0, NOW)
    assert refused(table, text.replace("{}", real.split("_", 2)[2])) == "token_unknown"
    assert table.all()[0].used_ms is None


def test_a_secret_is_only_compared_in_constant_time(table: Tokens) -> None:
    _, text = table.add("grafana", READ, 0, NOW)
    seen = []

    def compare(one: bytes, other: bytes) -> bool:
        seen.append((len(one), len(other)))
        return hmac.compare_digest(one, other)

    with patch("trackflowd.tokens.compare_digest", compare):
        table.check(text, NOW)
        for bad in (text[:-1] + "!", "tft_7_" + "A" * 43, "tft_1_" + "A" * 43):
            refused(table, bad)
    assert seen == [(32, 32)] * 4, "also where there is no such number, or no such form"


def test_a_token_expires_on_the_millisecond(table: Tokens) -> None:
    _, text = table.add("job", ADMIN, 60, NOW)
    assert table.check(text, NOW + 59_999)
    assert refused(table, text, NOW + 60_000) == "token_expired"
    assert refused(table, text[:-2] + ("AA" if text[-2:] != "AA" else "BB"), NOW + 60_000) == "token_unknown"


def test_a_revoked_token_works_no_more_and_is_still_listed(state: State, table: Tokens) -> None:
    _, text = table.add("grafana", READ, 0, NOW)
    (gone,) = table.revoke("1", NOW + 5)
    assert gone.revoked_ms == NOW + 5
    assert refused(table, text, NOW + 6) == "token_revoked"
    for each in (table, Tokens(state)):
        assert [one.state(NOW + 6) for one in each.all()] == ["revoked"]
        assert refused(each, text, NOW + 6) == "token_revoked"
    assert wrong("no_token", table.revoke, "grafana", NOW + 7) == "no token grafana works"
    made, _ = table.add("grafana", READ, 0, NOW + 8)
    assert made.number == 2, "the name is free again, the number is not"


def test_a_rotated_token_works_beside_its_successor_for_a_while(state: State, table: Tokens) -> None:
    old, text = table.add("grafana", ADMIN, 24 * 3600, NOW)
    made, fresh, left = table.rotate("grafana", 3600, NOW + HOUR)
    assert (made.name, made.scope, made.expires_ms) == ("grafana", "admin", NOW + 25 * HOUR), "as long as the first"
    assert (left.number, left.expires_ms) == (old.number, NOW + 2 * HOUR)
    for each in (table, Tokens(state)):
        assert each.check(text, NOW + 2 * HOUR - 1).number == 1
        assert refused(each, text, NOW + 2 * HOUR) == "token_expired"
        assert each.check(fresh, NOW + 2 * HOUR).number == 2


def test_an_overlap_lengthens_no_life(table: Tokens) -> None:
    table.add("job", READ, 60, NOW)
    _, _, left = table.rotate("1", 3600, NOW)
    assert left.expires_ms == NOW + 60_000
    table.add("other", READ, 0, NOW)
    made, _, left = table.rotate("other", 0, NOW)
    assert (left.state(NOW), made.expires_ms) == ("expired", None)


def test_two_of_a_name_are_told_apart_by_number_and_revoked_together(table: Tokens) -> None:
    table.add("grafana", READ, 0, NOW)
    table.rotate("grafana", 3600, NOW)
    assert "2 tokens grafana work: 2 (read), 1 (read)" in wrong("bad_arguments", table.rotate, "grafana", 60, NOW)
    assert [one.number for one in table.revoke("grafana", NOW)] == [2, 1]


@pytest.mark.parametrize("name", ["", "1", "-a", "a b", "a\n", "ä", "a" * 65, "a\x1b[2J", "a/b"])
def test_a_name_is_plain(name: str, table: Tokens) -> None:
    wrong("bad_arguments", table.add, name, READ, 0, NOW)


def test_what_makes_no_sense_is_refused(table: Tokens) -> None:
    table.add("there", READ, 0, NOW)
    wrong("bad_arguments", table.add, "a", "write", 0, NOW)
    for lifetime in (-1, 0.5, float("inf"), float("nan"), 11 * 365 * 86_400):
        wrong("bad_arguments", table.add, "a", READ, lifetime, NOW)
    for overlap in (-1, float("nan"), 31 * 86_400):
        wrong("bad_arguments", table.rotate, "there", overlap, NOW)
    wrong("token_exists", table.add, "there", ADMIN, 0, NOW)
    for which in ("2", "nobody", "", "9" * 30, "²"):
        wrong("no_token", table.revoke, which, NOW)
        wrong("no_token", table.rotate, which, 0, NOW)
    assert len(table.all()) == 1


def test_there_are_bounds(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_LIVING", 3)
    table = Tokens(state)
    monkeypatch.setattr(bearer, "KEEP", 2)
    for n in range(3):
        table.add(f"t{n}", READ, 0, NOW)
    wrong("too_many_tokens", table.add, "more", READ, 0, NOW)
    wrong("too_many_tokens", table.rotate, "t0", 0, NOW)
    for n in range(3):
        table.revoke(f"t{n}", NOW)
        table.add(f"u{n}", READ, 0, NOW)
    found = [(one.name, one.state(NOW)) for one in table.all()]
    assert found == [("u2", "active"), ("u1", "active"), ("u0", "active"), ("t2", "revoked"), ("t1", "revoked")]
    assert [one.name for one in Tokens(state).all()] == [name for name, _ in found]


def test_the_last_use_is_written_once_a_minute_and_at_the_end(state: State, table: Tokens) -> None:
    _, text = table.add("grafana", READ, 0, NOW)

    def on_disk() -> object:
        return state.execute("SELECT used_ms FROM tokens")[0][0]

    assert on_disk() is None
    table.check(text, NOW)
    assert on_disk() == NOW
    table.check(text, NOW + bearer.NOTE_EVERY_MS - 1)
    assert (on_disk(), table.all()[0].used_ms) == (NOW, NOW + bearer.NOTE_EVERY_MS - 1)
    table.save()
    assert on_disk() == NOW + bearer.NOTE_EVERY_MS - 1
    table.check(text, NOW - HOUR)  # the clock was set back
    assert on_disk() == NOW - HOUR


def test_a_full_disk_keeps_nobody_out(state: State, table: Tokens, caplog: pytest.LogCaptureFixture) -> None:
    _, text = table.add("grafana", READ, 0, NOW)
    with patch.object(State, "execute", side_effect=DataDirError("disk full")):
        assert table.check(text, NOW).number == 1
        table.check(text, NOW + 1)
        with pytest.raises(DataDirError):
            table.revoke("grafana", NOW)
    assert caplog.text.count("cannot be written down") == 1
    assert table.check(text, NOW), "what was not written down did not happen"
