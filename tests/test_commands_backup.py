"""Commands about backups, under a supervisor that runs (its flusher is a fake): the state, out and in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.supervised import Running, play
from trackflowd import backup
from trackflowd.backup import IN
from trackflowd.errors import ControlError, DataDirError
from trackflowd.selection import Selection
from trackflowd.site import ANY
from trackflowd.tasks import TaskState


def call(running: Running, name: str) -> Any:
    return running.commands.handlers()[name]


async def made(running: Running, directory: Path) -> Path:
    """A backup of the state, where the tool would have put it."""
    begun = await call(running, "backup_begin")(wait=1, events=False)
    partial = backup.free_place(directory)
    backup.write(partial, backup.tree(Path(begun["directory"])), begun["about"], lambda done, total: None)
    backup.finish(partial, directory)
    await call(running, "backup_end")(name=begun["about"]["name"])
    assert not Path(begun["directory"]).exists()
    return directory


def bring(running: Running, directory: Path) -> str:
    """Copy a backup to where a restore looks for it; its name."""
    manifest = backup.read(directory)
    into = running.supervisor.data_dir.path / IN / manifest["name"]
    into.mkdir(parents=True)
    backup.check(directory, manifest, lambda done, total: None, into)
    backup.copy(directory / backup.MANIFEST, into / backup.MANIFEST)
    return str(manifest["name"])


async def ended(running: Running, number: int) -> None:
    await running.until(lambda: TaskState(running.supervisor.runner.one(number)["state"]).ended)


def test_state_is_taken_over_where_it_is_not_there_and_what_is_there_stays(tmp_path: Path) -> None:
    async def before(running: Running) -> None:
        await running.ready()
        for site in ("a.example", "b.example"):
            await call(running, "site_add")(site, {"gpc": "refuse"})
        await call(running, "site_set")(ANY, {"gpc": "refuse"})
        await call(running, "key_add")(site="a.example", name="backend", expires=0)
        running.supervisor.tombstones.add(Selection(user="alice"), 5)
        running.supervisor.tombstones.retain({"a.example": 7})
        directory = await made(running, tmp_path / "made")
        manifest = backup.read(directory)
        assert manifest["counts"] == {"events": 0, "sites": 2, "keys": 1, "erasures": 2}
        assert {one["path"] for one in manifest["files"]} == {"state.json", "options.json", "trackflow.toml"}

    async def after(running: Running) -> None:
        await running.ready()
        supervisor = running.supervisor
        await call(running, "site_add")("b.example", {"gpc": "ignore"})
        for expected in ((1 + 1, 1, 1), (0, 0, 0)):
            task = await call(running, "restore")(bring(running, tmp_path / "made"), events=True)
            args = task["args"]
            assert (args["sites"], args["keys"], len(args["tombstones"]), args["events"]) == (*expected, 0)
            await ended(running, task["id"])
            (supervisor.data_dir.path / IN).rename(tmp_path / f"in-{expected[0]}")
        assert (await call(running, "site")("b.example"))["settings"]["gpc"] == "ignore"
        assert (await call(running, "site")("a.example"))["settings"]["gpc"] == "refuse"
        assert (await call(running, "site")(ANY))["settings"]["gpc"] == "refuse"
        kept = {(str(one.tombstone.what), one.tombstone.until_ms, one.retention) for one in supervisor.tombstones.all()}
        assert kept == {("user alice", 5, False), ("site a.example", 7, True)}
        assert [one["state"] for one in await call(running, "keys")("")] == ["active"]

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    play(tmp_path / "one", before)
    play(tmp_path / "two", after)


def test_what_is_no_backup_changes_nothing(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        directory = await made(running, tmp_path / "made")
        for name in ("", "..", "a/b", "A", "x" * 41):
            with pytest.raises(ControlError, match="is not the name of a backup"):
                await call(running, "restore")(name, events=True)
        with pytest.raises(DataDirError, match="is no backup"):
            await call(running, "restore")("b1", events=True)
        name = bring(running, directory)
        state = running.supervisor.data_dir.path / IN / name / "state.json"
        for text in ("", "[]", "{}", '{"sites": 1, "tombstones": []}', '{"sites": {"sites": []}, "tombstones": {}}'):
            state.write_text(text)
            with pytest.raises(DataDirError, match="is not what a backup has there"):
                await call(running, "restore")(name, events=True)
        everything = [{"what": {}, "until_ms": 5, "retention": False}]
        sites = {"trackflow": "sites", "version": 1, "sites": [], "keys": []}
        state.write_text(json.dumps({"sites": sites, "tombstones": everything}))
        with pytest.raises(DataDirError, match="names every event there is"):
            await call(running, "restore")(name, events=True)
        assert running.supervisor.tombstones.all() == [] and len(await call(running, "tasks")()) == 0

    play(tmp_path, story)


def test_events_of_an_embedded_store_do_not_go_into_another(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        directory = await made(running, tmp_path / "made")
        manifest = json.loads((directory / "manifest.json").read_text())
        manifest |= {"has_events": True, "counts": manifest["counts"] | {"events": 7}}
        del manifest["sha256"]
        manifest["sha256"] = backup.digest_of(manifest)
        (directory / "manifest.json").write_text(json.dumps(manifest))
        name = bring(running, directory)
        with pytest.raises(ControlError, match="are an embedded store's") as caught:
            await call(running, "restore")(name, events=True)
        assert caught.value.code == "other_store"
        assert (await call(running, "restore")(name, events=False))["args"]["events"] == 0

    play(tmp_path, story, "store.url=null:")


def test_a_backup_whose_events_are_not_stored_is_none(tmp_path: Path) -> None:
    async def story(running: Running) -> None:
        await running.ready()
        await call(running, "pause")()
        with pytest.raises(ControlError, match="paused"):
            await call(running, "backup_begin")(wait=1, events=True)
        assert list((running.supervisor.data_dir.path / "backup").iterdir()) == []

    play(tmp_path, story)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"events": true}'])
def test_what_was_laid_there_and_is_no_backup_is_said_once_and_the_daemon_starts(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    wish = tmp_path / "data" / IN / "b1" / backup.WANTED
    wish.parent.mkdir(parents=True)
    wish.write_text(text)

    async def story(running: Running) -> None:
        await running.ready()
        assert not wish.exists() and await call(running, "tasks")() == []

    play(tmp_path, story)
    assert "is not brought in" in caplog.text
