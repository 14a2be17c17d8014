"""A backup on a disk: what is in its directory, how it is written so that no half passes for whole, how it is proved.

::

    manifest.json          what is in it: versions, counts, size and SHA-256 of every other file, and of itself
    state.json             sites with their settings, hashes of server keys, tombstones of erasures
    trackflow.toml        the configuration file, where there is one; options.json: all options, passwords masked
    events.sql, parts/     the embedded store's table and its parts, as the engine wrote them
    quarantine/            rows the store refused

Never in it: salts (a visitor hash must not be checked against an address after 48 hours), tokens of the admin
listener, and what is about one machine's rings: ring files, journal, spool, window. Their events are in the store
before a backup begins, and a journal that names rings of another life would be believed.

It is written to ``DIR.partial``, every file synced, the manifest last, and then renamed: what is called DIR is whole.

Root who copies reads and writes in the data directory as the user it belongs to: a link that a daemon taken over had
laid there leads no further than that user can go.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trackflowd.errors import DataDirError

KIND, VERSION = "backup", 1
MANIFEST, STATE = "manifest.json", "state.json"
#: Beside a backup that lies in a data directory no daemon works in: what of it the next start is to bring in.
WANTED = "wanted.json"
PARTIAL = ".partial"
#: Directories of the data directory: what is being taken out, and what is being brought in.
OUT, IN = "backup", "restore"
#: What says how the parts' table was made; the parts themselves; rows the store refused.
MADE_BY, PARTS, QUARANTINE = "events.sql", "parts", "quarantine"
#: Bytes read at once.
STEP = 2**20
#: A backup's name: when it was made, and something drawn.
NAME = re.compile(r"[a-z0-9]{1,40}\Z")
_PATH = re.compile(r"[^/\0]+(?:/[^/\0]+)*\Z")

#: User and group that files belong to; None: whoever runs this.
Owner = tuple[int, int] | None
#: Told how many bytes of how many are done.
Progress = Callable[[int, int], None]


def free_place(target: Path) -> Path:
    """Where a backup is to be written before it gets its name; what a killed one left there is removed.

    Raises:
        DataDirError: the place is taken.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataDirError(f"{target} is there and not empty", "give each backup a directory of its own")
    partial = target.with_name(target.name + PARTIAL)
    try:
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise DataDirError(f"{partial}: {error.strerror}", "name a directory this user may write to") from error
    return partial


def write(
    partial: Path, sources: Mapping[str, Path], about: Mapping[str, Any], progress: Progress, owner: Owner = None
) -> dict[str, Any]:
    """Copy files, and then write the manifest; the manifest.

    Args:
        sources: where each file is now, by its path in the backup.
        about: what the manifest says beside the files.
        owner: whose the sources are.

    Raises:
        DataDirError: a file is gone, or the disk refuses.
    """
    total, done, files = sum(_size(path) for path in sources.values()), 0, []
    _check_room(partial, total)
    for name, source in sorted(sources.items()):
        size, digest = copy(source, partial / name, reader=owner)
        files.append({"path": name, "bytes": size, "sha256": digest})
        done += size
        progress(done, total)
    manifest = {"trackflow": KIND, "version": VERSION, **about, "files": files}
    manifest["sha256"] = digest_of(manifest)
    try:
        with open(partial / MANIFEST, "x", opener=_private) as file:
            json.dump(manifest, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        for directory in sorted({partial / name for name in sources}, reverse=True):
            _sync(directory.parent)
        _sync(partial)
    except OSError as error:
        raise DataDirError(f"{partial}: {error.strerror}", "make room there") from error
    return manifest


def finish(partial: Path, target: Path) -> None:
    """Give a backup its name. DataDirError: it cannot be renamed."""
    try:
        partial.rename(target)
        _sync(target.parent)
    except OSError as error:
        raise DataDirError(f"{target}: {error.strerror}", "name a directory that is not there yet") from error


def read(directory: Path) -> dict[str, Any]:
    """The manifest of a backup.

    Raises:
        DataDirError: no backup, cut short, changed, or made by a later version.
    """
    path = directory / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
        kind, version = manifest["trackflow"], manifest["version"]
        if kind != KIND:
            raise ValueError
        if version > VERSION:
            raise DataDirError(
                f"{path}: format {version}, this program knows {VERSION}", "use the version that made it"
            )
        said = manifest.pop("sha256")
        names = [one["path"] for one in manifest["files"]]
    except OSError as error:
        hint = "a backup that was cut short has no manifest and is no use: make another"
        raise DataDirError(f"{directory} is no backup: {path}: {error.strerror}", hint) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataDirError(f"{path} is no manifest of a backup", "it was changed or is damaged: use another") from error
    strange = [name for name in names if not _PATH.match(name) or ".." in name.split("/")]
    if said != digest_of(manifest) or strange or not NAME.match(str(manifest.get("name", ""))):
        raise DataDirError(f"{path} was changed or is damaged", "use another backup")
    return dict(manifest)


def check(
    directory: Path,
    manifest: Mapping[str, Any],
    progress: Progress,
    into: Path | None = None,
    owner: Owner = None,
) -> int:
    """Read every file and compare it with the manifest; the bytes read.

    Args:
        into: a directory they are copied to meanwhile; None: nowhere.
        owner: whose that is to be.

    Raises:
        DataDirError: one is missing or differs, or the disk refuses.
    """
    total, done = sum(one["bytes"] for one in manifest["files"]), 0
    if into is not None:
        _check_room(into, total)
    for one in manifest["files"]:
        size, digest = copy(directory / one["path"], into / one["path"] if into else None, writer=owner)
        if (size, digest) != (one["bytes"], one["sha256"]):
            text = f"{directory / one['path']} is not what was backed up ({size} bytes of {one['bytes']})"
            raise DataDirError(text, "it was changed or is damaged: use another backup")
        done += size
        progress(done, total)
    return done


def copy(source: Path, target: Path | None, *, reader: Owner = None, writer: Owner = None) -> tuple[int, str]:
    """Copy a file, synced; its size and SHA-256.

    Args:
        target: None: it is only read.
        reader, writer: who opens the one and makes the other.

    Raises:
        DataDirError: it cannot be read or written.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with acting_as(reader):
            file = open(source, "rb", opener=_no_link)
        with file:
            fd = -1
            if target is not None:
                with acting_as(writer):
                    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                while block := file.read(STEP):
                    digest.update(block)
                    size += len(block)
                    _put(fd, block)
                if fd >= 0:
                    os.fsync(fd)
            finally:
                if fd >= 0:
                    os.close(fd)
    except OSError as error:
        text = f"{error.filename or target or source}: {error.strerror}"
        raise DataDirError(text, "look at that disk; of a backup whose files are gone, use another") from error
    return size, digest.hexdigest()


def tree(directory: Path, name: str = "") -> dict[str, Path]:
    """Files below a directory, by their path in it; name: put before each."""
    return {name + str(path.relative_to(directory)): path for path in sorted(directory.rglob("*")) if path.is_file()}


@contextmanager
def alone(data_dir: Path) -> Iterator[None]:
    """Within it, nobody else makes a backup of a data directory or restores one (``archivist.busy``).

    Raises:
        DataDirError: somebody does, or it is not ours to read.
    """
    try:
        with acting_as(owner_of(data_dir)):
            (data_dir / "tmp").mkdir(mode=0o700, exist_ok=True)
        fd = os.open(data_dir / "tmp", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        hint = "run it as the daemon's user or as root, on the machine of the daemon"
        raise DataDirError(f"{data_dir}: {error.strerror}", hint) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise DataDirError(f"another backup or restore of {data_dir} is under way", "wait for it to end") from error
    try:
        yield
    finally:
        os.close(fd)


def check_stopped(data_dir: Path) -> None:
    """Return if no daemon works in a data directory, and no restore waits for one.

    Raises:
        DataDirError: it is not there, or in use, or a restore waits.
    """
    hint = "make it: install -d -m 0700 -o USER DIR; or name the daemon's with --data-dir"
    if not data_dir.is_dir():
        raise DataDirError(f"no daemon answers, and {data_dir} is not there", hint)
    try:
        fd = os.open(data_dir / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        fd = -1
    except OSError as error:
        raise DataDirError(f"{data_dir}: {error.strerror}", "run it as the daemon's user or as root") from error
    try:
        if fd >= 0:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        text = f"a daemon works in {data_dir} and does not answer"
        raise DataDirError(text, "name its control socket with --socket") from error
    finally:
        if fd >= 0:
            os.close(fd)
    if any((data_dir / "restore").glob("*")):
        raise DataDirError(f"a restore waits in {data_dir / 'restore'} already", "start the daemon, or remove it")


def owner_of(path: Path) -> Owner:
    """Whose a directory is. DataDirError: it cannot be looked at."""
    try:
        status = path.stat()
    except OSError as error:
        raise DataDirError(f"{path}: {error.strerror}", "run it on the machine of the daemon") from error
    return status.st_uid, status.st_gid


@contextmanager
def acting_as(owner: Owner) -> Iterator[None]:
    """Within it, root opens and makes files as another user; nobody else changes who he is."""
    if owner is None or os.geteuid() != 0:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    os.setgroups([])
    os.setegid(owner[1])
    os.seteuid(owner[0])
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def counts(manifest: Mapping[str, Any]) -> Sequence[tuple[str, int]]:
    """What is in a backup, for a person: names and numbers."""
    return [(name, int(number)) for name, number in manifest["counts"].items()]


def _put(fd: int, block: bytes) -> None:
    view = memoryview(block)
    while fd >= 0 and view:
        view = view[os.write(fd, view) :]


def _check_room(directory: Path, size: int) -> None:
    free = shutil.disk_usage(directory).free
    if free < size:
        raise DataDirError(f"{directory}: {size:,} bytes are needed, {free:,} are free", "free some")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataDirError(f"{path}: {error.strerror}", "the daemon let go of it: make the backup again") from error


def digest_of(manifest: Mapping[str, Any]) -> str:
    """What its ``sha256`` has to be: of all else in it, in one way of writing."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _no_link(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_CLOEXEC | os.O_NOFOLLOW)


def _private(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_CLOEXEC, 0o600)
