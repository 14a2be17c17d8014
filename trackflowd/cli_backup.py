"""``trackflow backup`` and ``trackflow restore``, while the daemon runs: it freezes and merges, this copies and proves.

Copying is done here and not in the daemon because it is whoever asks that may write to the backup's place: the service
sees no more of the machine than its data directory.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trackflowd import backup
from trackflowd.backup import IN, MADE_BY, PARTS, QUARANTINE
from trackflowd.cli_ask import connect
from trackflowd.cli_parser import Commands
from trackflowd.cli_tasks import UNDER_WAY, Meter, TaskDict, moment, see_through, unfinished
from trackflowd.cli_text import Style, clean, count, duration, pad, say, size, to_json
from trackflowd.cli_tools import data_dir
from trackflowd.client import Client
from trackflowd.errors import ControlError, DataDirError

_LABEL = 12


def add_commands(commands: Commands) -> None:
    """Add this module's commands."""
    made = commands.add(
        "backup",
        "copy everything that was answered so far, with sites, keys and erasures, to a new directory",
        _backup,
        "trackflow backup /backup/trackflow-$(date +%F)\ntrackflow backup /backup/state --state-only --json",
    )
    made.add_argument("directory", metavar="DIR", type=Path, help="of this backup alone; not there yet, or empty")
    made.add_argument(
        "--wait",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="longest to wait until what was answered is stored (default: 60)",
    )
    back = commands.add(
        "restore",
        "bring back what a backup has and the daemon has not; nothing is doubled, nothing erased comes back",
        _restore,
        "trackflow restore /backup/trackflow-2026-11-29\ntrackflow restore /backup/trackflow-2026-11-29 --check\n"
        "trackflow restore /backup/trackflow-2026-11-29 --state-only",
    )
    back.add_argument("directory", metavar="DIR", type=Path, help="of a backup")
    back.add_argument(
        "--check", action="store_true", help="only prove that every file is what was backed up; needs no daemon"
    )
    back.add_argument("--detach", action="store_true", help="start it and do not wait: trackflow tasks show ID")
    for parser in (made, back):
        parser.add_argument("--state-only", action="store_true", help="sites, keys and erasures, no events")
        parser.add_argument("--json", action="store_true", help="as JSON")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0 and up to a day")
    return value


def _data_dir(client: Client) -> Path:
    return Path(client.call("config")["daemon.data_dir"])


# ------------------------------------------------------------------------- backup


def _backup(args: argparse.Namespace) -> int:
    target = Path(os.path.abspath(args.directory))
    began = time.monotonic()
    with connect(args) as client, backup.alone(place := _data_dir(client)):
        partial, owner = backup.free_place(target), backup.owner_of(place)
        try:
            begun = client.call("backup_begin", wait=args.wait, events=not args.state_only)
            try:
                with _Bar("backup", args.json) as bar:
                    manifest = backup.write(partial, _sources(begun), _about(begun), bar.draw, owner)
            finally:
                client.call("backup_end", name=begun["about"]["name"])
            backup.finish(partial, target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    value = {"directory": str(target), **_brief(manifest), "apart": begun["apart"]}
    if args.json:
        say(to_json(value, 2))
    else:
        say("\n".join(_made(value, time.monotonic() - began, Style.of(sys.stdout))))
    return 0


def _sources(begun: Mapping[str, Any]) -> dict[str, Path]:
    """Where each file of a backup is now, by its path in it."""
    files = backup.tree(Path(begun["directory"]))
    return files | (backup.tree(Path(begun["parts"]), f"{PARTS}/") if begun["parts"] else {})


def _about(begun: Mapping[str, Any]) -> dict[str, Any]:
    about: dict[str, Any] = dict(begun["about"])
    held = sum(path.startswith(f"{QUARANTINE}/") for path in _sources({**begun, "parts": ""}))
    return {**about, "counts": {**about["counts"], "quarantine": held}}


def _brief(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest without its files."""
    files: Sequence[Mapping[str, Any]] = manifest["files"]
    told = {key: value for key, value in manifest.items() if key not in ("files", "trackflow", "sha256")}
    return {**told, "files": len(files), "bytes": sum(one["bytes"] for one in files)}


def _made(value: Mapping[str, Any], seconds: float, style: Style) -> list[str]:
    lines = [
        _line("backup", style.good(clean(value["directory"])), style),
        _line("holds", _counted(value), style),
        _line("size", f"{size(value['bytes'])} in {count(value['files'])} files, after {duration(seconds)}", style),
    ]
    if value["apart"]:
        kind = (
            "pg_dump or pg_basebackup" if value["store"].startswith("postgres") else "BACKUP TABLE or clickhouse-backup"
        )
        lines.append(_line("events", style.odd(f"are in {clean(value['store'])}: back that up with {kind}"), style))
    return lines


def _counted(value: Mapping[str, Any]) -> str:
    return ", ".join(f"{count(number)} {name}" for name, number in value["counts"].items() if number) or "nothing"


# ------------------------------------------------------------------------ restore


def _restore(args: argparse.Namespace) -> int:
    directory = Path(os.path.abspath(args.directory))
    manifest = backup.read(directory)
    if args.check:
        return _check(args, directory, manifest)
    try:
        connected = connect(args)
    except ControlError as error:
        if args.socket or error.code != ControlError.code:
            raise
        return _lay(args, directory, manifest)
    with connected as client:
        place = _data_dir(client)
        with backup.alone(place):
            _check_idle(client)
            _bring(args, directory, manifest, place)
            task: TaskDict = client.call("restore", name=manifest["name"], events=not args.state_only)
            return see_through(client, task, args, summary)


def _lay(args: argparse.Namespace, directory: Path, manifest: Mapping[str, Any]) -> int:
    """Lay a backup into a data directory no daemon works in: the next start brings it in before it takes events."""
    place = data_dir(args.data_dir, os.environ).absolute()
    backup.check_stopped(place)
    with backup.alone(place):
        _bring(args, directory, manifest, place)
        wish = place / IN / manifest["name"] / backup.WANTED
        with backup.acting_as(backup.owner_of(place)):
            wish.write_text(to_json({"events": not args.state_only}))
    value = {"directory": str(directory), "data_dir": str(place), "waits": True, **_brief(manifest)}
    told = f"no daemon runs: it lies in {clean(place)}, and the next start brings it in: {_counted(value)}"
    say(to_json(value, 2) if args.json else told)
    return 0


def _check(args: argparse.Namespace, directory: Path, manifest: Mapping[str, Any]) -> int:
    with _Bar("check", args.json) as bar:
        backup.check(directory, manifest, bar.draw)
    value = {"directory": str(directory), "ok": True, **_brief(manifest)}
    style = Style.of(sys.stdout)
    if args.json:
        say(to_json(value, 2))
    else:
        say(f"{style.good('whole')}  {clean(directory)}, of {moment(manifest['made_ms'])}: {_counted(value)}")
    return 0


def _check_idle(client: Client) -> None:
    """Return if no restore is under way. DataDirError: one is."""
    tasks: Sequence[TaskDict] = client.call("tasks")
    for task in tasks:
        if task["kind"] == "restore" and task["state"] in UNDER_WAY:
            text = f"task {task['id']} restores a backup already"
            raise DataDirError(text, f"follow it: trackflow tasks show {task['id']} --watch; or cancel it")


def _bring(args: argparse.Namespace, directory: Path, manifest: Mapping[str, Any], place: Path) -> None:
    """Copy a backup into the data directory, each file proved; what earlier ones left there goes."""
    into, owner = place / IN / manifest["name"], backup.owner_of(place)
    try:
        with backup.acting_as(owner):
            shutil.rmtree(place / IN, ignore_errors=True)
            into.mkdir(mode=0o700, parents=True)
        with _Bar("copy", args.json) as bar:
            backup.check(directory, _wanted(manifest, args.state_only), bar.draw, into, owner)
        backup.copy(directory / backup.MANIFEST, into / backup.MANIFEST, writer=owner)
    except BaseException as error:
        with backup.acting_as(owner):
            shutil.rmtree(into, ignore_errors=True)
        if isinstance(error, OSError):
            text = f"{error.filename or into}: {error.strerror}"
            raise DataDirError(text, "run it as the daemon's user or root") from error
        raise


def _wanted(manifest: Mapping[str, Any], state_only: bool) -> Mapping[str, Any]:
    events = (MADE_BY, f"{PARTS}/", f"{QUARANTINE}/")
    files = [one for one in manifest["files"] if not (state_only and one["path"].startswith(events))]
    return {**manifest, "files": files}


def summary(task: TaskDict, style: Style) -> list[str]:
    """What came of a restore that has ended."""
    result = task["result"]
    if result is None:
        return unfinished(task, style)
    lines = []
    if result["events"]:
        kept_out = f", {count(result['erased'])} were erased and stay gone" if result["erased"] else ""
        there = f"{count(result['held'])} were there{kept_out}"
        lines.append(_line("events", f"{style.bold(count(result['restored']))} restored, {there}", style))
    taken = {name: result[name] for name in ("sites", "keys", "erasures", "quarantine")}
    return [*lines, _line("taken over", _counted({"counts": taken}), style)]


class _Bar:
    """Progress of copying on standard error, as tasks show theirs.

    Args:
        quiet: nothing is shown.
    """

    def __init__(self, kind: str, quiet: bool) -> None:
        self._kind, self._quiet = kind, quiet
        self._meter = Meter(sys.stderr)

    def draw(self, done: int, total: int) -> None:
        """Show how many bytes are done."""
        if not self._quiet:
            progress = {"done": done >> 20, "total": total >> 20, "unit": "MiB", "text": ""}
            self._meter.draw({"kind": self._kind, "state": "running", "progress": progress}, time.monotonic())

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *error: object) -> None:
        self._meter.clear()


def _line(label: str, text: str, style: Style) -> str:
    return style.dim(pad(label, _LABEL)) + text
