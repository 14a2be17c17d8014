"""commands_sites: what each change does to the snapshot, and that keys are in no log and no file."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.supervised import Running, play
from trackflowd.errors import ControlError


def call(running: Running, name: str) -> Callable[..., Awaitable[Any]]:
    return running.commands.handlers()[name]


async def code(asked: Awaitable[Any]) -> str:
    with pytest.raises(ControlError) as caught:
        await asked
    return caught.value.code


def snapshot(tmp_path: Path) -> Any:
    return msgpack.unpackb((tmp_path / "data" / "snapshot.msgpack").read_bytes())


def test_every_change_is_in_the_snapshot_when_it_is_answered(tmp_path: Path) -> None:
    def told(running: Running) -> tuple[int, dict[str, Any]]:
        value = snapshot(tmp_path)
        assert running.supervisor.crew.page.generation == value["generation"]
        return value["generation"], {site["site"]: site for site in value["sites"]}

    async def story(running: Running) -> None:
        await running.ready()
        first, sites = told(running)
        assert set(sites) == {"*"}
        made = await call(running, "site_add")("a.example", {"gpc": "refuse"})
        assert (made["settings"]["gpc"], made["keys"], made["published"]) == ("refuse", 0, True)
        generation, sites = told(running)
        assert (generation, sites["a.example"]["gpc"], sites["*"]["gpc"]) == (first + 1, "refuse", "ignore")
        changed = await call(running, "site_set")("a.example", {"rate": "5", "gpc": "refuse"})
        assert changed["changed"] == {"rate": {"old": 0.0, "new": 5.0}}
        generation, sites = told(running)
        assert (generation, sites["a.example"]["rate"]) == (first + 2, 5.0)
        same = await call(running, "site_set")("a.example", {"rate": 5})
        assert (same["changed"], told(running)[0]) == ({}, first + 2)
        gone = await call(running, "site_remove")("a.example", False)
        assert (gone["removed"], gone["revoked"]) == ("a.example", [])
        assert set(told(running)[1]) == {"*"}
        assert await code(call(running, "site")("a.example")) == "no_site"

    play(tmp_path, story)


def test_the_list_comes_in_pages(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        for site in ("b", "a", "c"):
            await call(running, "site_add")(site, None)
        page = await call(running, "sites")(2, "")
        assert ([one["site"] for one in page["sites"]], page["next"], page["mode"]) == (["*", "a"], "a", "open")
        page = await call(running, "sites")(2, "a")
        assert ([one["site"] for one in page["sites"]], page["next"]) == (["b", "c"], "")
        assert await code(call(running, "sites")(0, "")) == "bad_arguments"

    play(tmp_path, story)


def test_a_key_is_made_rotated_and_revoked_and_its_text_is_only_in_the_answers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    texts: list[str] = []

    async def story(running: Running) -> None:
        await running.ready()
        await call(running, "site_add")("a.example", None)
        made = await call(running, "key_add")("a.example", "server", 0)
        fresh = await call(running, "key_rotate")("server", 3600)
        texts.extend([made["key"], fresh["key"]])
        told = {key["id"]: key for key in snapshot(tmp_path)["keys"]}
        assert set(told) == {made["id"], fresh["id"]}
        assert told[made["id"]]["expires_ms"] == fresh["old"]["expires_ms"]
        assert told[fresh["id"]]["hash"] == hashlib.sha256(fresh["key"].split("_", 2)[2].encode()).digest()
        assert (await call(running, "site")("a.example"))["keys"] == 2
        gone = await call(running, "key_revoke")(str(fresh["id"]))
        assert [one["state"] for one in gone["revoked"]] == ["revoked"]
        assert [key["id"] for key in snapshot(tmp_path)["keys"]] == [made["id"]]
        assert await code(call(running, "site_remove")("a.example", False)) == "site_has_keys"
        gone = await call(running, "site_remove")("a.example", True)
        assert [(one["id"], one["state"]) for one in gone["revoked"]] == [(made["id"], "revoked")]
        assert snapshot(tmp_path)["keys"] == []
        found = await call(running, "keys")("")
        assert {one["state"] for one in found} == {"revoked"}
        assert await call(running, "keys")("b.example") == []
        texts.append(str((found, await running.commands.status(), await call(running, "sites_export")(True))))

    caplog.set_level("DEBUG")
    play(tmp_path, story)
    *keys, said = texts
    assert "follows key" in caplog.text
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (text.split("_", 2)[2] for text in keys):
        assert secret not in caplog.text + said
        assert secret.encode() not in files


def test_in_registered_mode_a_key_is_of_a_registered_site_or_of_all(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        assert snapshot(tmp_path)["mode"] == "registered"
        assert await code(call(running, "key_add")("b.example", "server", 0)) == "no_site"
        assert (await call(running, "key_add")("*", "server", 0))["site"] == "*"

    async def ready(running: Running) -> None:
        await running.ready()
        await story(running)

    play(tmp_path, ready, "sites.mode=registered")


def test_a_reload_changes_the_mode_at_once(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        before = snapshot(tmp_path)
        (tmp_path / "options.toml").write_text('[sites]\nmode = "registered"\n')
        told = await call(running, "reload")(False)
        assert told["restart"] == []
        after = snapshot(tmp_path)
        assert (before["mode"], after["mode"]) == ("open", "registered")
        assert running.supervisor.crew.page.generation == after["generation"] > before["generation"]
        assert await code(call(running, "key_add")("b.example", "server", 0)) == "no_site"

    play(tmp_path, story)


def test_an_admin_token_is_in_the_snapshot_and_a_reading_one_is_not(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        await call(running, "token_add")("grafana", "read", 0)
        made = await call(running, "token_add")("me", "admin", 0)
        assert [one["id"] for one in snapshot(tmp_path)["admin_tokens"]] == [made["id"]]
        await call(running, "token_revoke")("me")
        assert snapshot(tmp_path)["admin_tokens"] == []

    play(tmp_path, story)


def test_an_import_says_what_it_changes_and_changes_it_unless_it_is_dry(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        await call(running, "site_add")("a.example", {"dnt": "refuse"})
        await call(running, "key_add")("a.example", "server", 0)
        document = await call(running, "sites_export")(True)
        assert "keys" not in await call(running, "sites_export")(False)
        await call(running, "site_remove")("a.example", True)
        before = running.supervisor.crew.page.generation
        told = await call(running, "sites_import")(document, False, True)
        assert (told["applied"], [one["change"] for one in told["changes"]]) == (False, ["added", "stays revoked"])
        assert running.supervisor.crew.page.generation == before
        told = await call(running, "sites_import")(document, False, False)
        assert told["applied"]
        assert (await call(running, "site")("a.example"))["settings"]["dnt"] == "refuse"
        assert running.supervisor.crew.page.generation == before + 1

    play(tmp_path, story)
