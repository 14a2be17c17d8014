"""keys: of one site each, numbers that are drawn, and what workers and files hold of them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from trackflowd import bearer, keys
from trackflowd.keys import Key, Keys
from trackflowd.proto.control import BadRequest
from trackflowd.state import State

NOW = 1_800_000_000_000


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path)


@pytest.fixture
def table(state: State) -> Keys:
    return Keys(state)


def test_a_key_is_published_by_its_hash_until_it_is_revoked_or_over(state: State, table: Keys, tmp_path: Path) -> None:
    made, text = table.add("server", "a.example", 60, NOW)
    found = re.fullmatch(r"tfk_(\d{9})_([A-Za-z0-9_-]{43})", text)
    assert found
    assert int(found[1]) == made.number
    told = {
        "id": made.number, "site": "a.example", "hash": hashlib.sha256(found[2].encode()).digest(),
        "expires_ms": NOW + 60_000,
    }  # fmt: skip
    assert table.published(NOW) == [told] == Keys(state).published(NOW)
    assert table.published(NOW + 60_000) == []
    other, _ = table.add("server", "b.example", 0, NOW)
    table.revoke(str(made.number), NOW)
    assert [one["id"] for one in table.published(NOW)] == [other.number]
    assert found[2].encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_a_name_is_good_once_a_site_and_is_told_apart_by_it(table: Keys) -> None:
    one, _ = table.add("server", "a.example", 0, NOW)
    two, _ = table.add("server", "b.example", 0, NOW)
    with pytest.raises(BadRequest, match="a key server is there"):
        table.add("server", "a.example", 0, NOW)
    for change in (lambda: table.revoke("server", NOW), lambda: table.rotate("server", 0, NOW)):
        with pytest.raises(BadRequest, match=rf"2 keys server work: .*{one.number} \(a.example\)"):
            change()
    fresh, _, old = table.rotate("a.example/server", 3600, NOW)
    assert (old.number, fresh.site) == (one.number, "a.example")
    assert {key.number for key in table.revoke("a.example/server", NOW)} == {one.number, fresh.number}
    assert [key.number for key in table.revoke("server", NOW)] == [two.number]
    for gone in ("a.example/server", "server", str(one.number), "9" * 20, "", "/", "²"):
        with pytest.raises(BadRequest, match="works") as caught:
            table.revoke(gone, NOW)
        assert caught.value.code == "no_key"


def test_a_key_pasted_where_its_number_belongs_is_not_repeated(table: Keys) -> None:
    key, text = table.add("n", "a.example", 0, NOW)
    for pasted in (text, text[:-9], text.swapcase()):
        said = rf"(?i)^tfk_{key.number}_\*\*\* is a key itself \(say its number, {key.number}; "
        with pytest.raises(BadRequest, match=said):
            table.revoke(pasted, NOW)
    with pytest.raises(BadRequest, match=r"^no key a\.example/tfk_\d+_\*\*\* works"):
        table.revoke(f"a.example/{text}", NOW)


def test_when_a_key_was_used_last_is_written_once_a_minute(state: State, table: Keys) -> None:
    made, _ = table.add("server", "a.example", 0, NOW)

    def on_disk() -> object:
        return state.execute("SELECT used_ms FROM keys")[0][0]

    table.used(made.number, NOW)
    table.used(made.number, NOW + bearer.NOTE_EVERY_MS - 1)
    table.used(made.number + 1, NOW)  # forgotten meanwhile
    assert (on_disk(), table.all()[0].used_ms) == (NOW, NOW + bearer.NOTE_EVERY_MS - 1)
    table.save()
    assert on_disk() == NOW + bearer.NOTE_EVERY_MS - 1


def test_a_row_of_another_host_is_taken_over_and_changed(state: State, table: Keys) -> None:
    key = Key(481_516_234, "shop", "a.example", bytes(32), NOW)
    table.put(key)
    table.used(key.number, NOW)
    table.put(Key(481_516_234, "shop", "*", bytes(32), NOW, NOW + 5))
    assert Keys(state).all() == table.all() == [Key(481_516_234, "shop", "*", bytes(32), NOW, NOW + 5, NOW)]


def test_there_are_bounds(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MAX_LIVING", 2)
    table = Keys(state)
    table.add("a", "a.example", 0, NOW)
    table.add("b", "a.example", 0, NOW)
    with pytest.raises(BadRequest) as caught:
        table.add("c", "a.example", 0, NOW)
    assert caught.value.code == "too_many_keys"
    for name, lifetime in (("1a", 0), ("", 0), ("c", 0.5), ("c", 1e12)):
        with pytest.raises(BadRequest) as caught:
            table.add(name, "a.example", lifetime, NOW)
        assert caught.value.code == "bad_arguments"
