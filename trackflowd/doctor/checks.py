"""What the doctor makes of what was seen: one function a subject, facts in, verdicts out; no I/O.

Every limit here is a named figure with its reason. A check that has nothing to judge says so and is ok: whether a
daemon runs, or has a database of places, is its operator's choice; that it can not do its work is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

OK, WARN, FAIL = "ok", "warn", "fail"

MIB = 2**20
#: Free bytes on the disk below which a daemon is about to stop storing: the embedded store keeps 64 MiB free, merges
#: need as much again as the parts they join.
LEAST_FREE, LITTLE_FREE = 256 * MIB, 2048 * MIB
#: Part of the disk below which it is time to act.
LITTLE_SHARE = 0.05
#: Descriptors of a process beside its connections: rings, logs, pipes, the engine's parts.
BESIDE = 1_000
#: Days after which addresses have moved enough to matter: databases come out once a month.
OLD_DAYS, VERY_OLD_DAYS = 45.0, 180.0
#: Seconds a file's time may lie ahead of the clock: other machines' clocks on network disks, and rounding.
AHEAD = 60.0

#: File systems whose blocks, once allocated, stay: a ring on a full disk keeps its room.
HONEST = frozenset({"ext2", "ext3", "ext4", "xfs", "f2fs", "jfs", "reiserfs"})
#: Those that write changed blocks elsewhere: a reserved block is no promise.
COPYING = frozenset({"btrfs", "zfs", "bcachefs", "nilfs2"})
IN_MEMORY = frozenset({"tmpfs", "ramfs"})
#: A container's own layer: gone with the container.
LAYERED = frozenset({"overlay", "aufs"})
#: Locks and maps of another machine's disk: neither holds when the line breaks.
REMOTE = ("nfs", "cifs", "smb", "9p", "fuse", "ceph", "gluster", "afs", "lustre", "virtiofs")


class Check(NamedTuple):
    """A verdict.

    Args:
        name: what was looked at, one word.
        state: ``ok``, ``warn`` (works, and may not go on to) or ``fail`` (does not work, or loses events).
        text: what was seen.
        mend: what to do, on one line; "" where it is ok.
    """

    name: str
    state: str
    text: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk under a directory.

    Args:
        path: the directory, or the first of its parents that is there.
        kind: of the file system, as the kernel names it; "": not known.
        total, free: bytes (free for who is not root).
        reserves: whether a reserved file had its blocks; None: not tried.
        needed: bytes the daemon is still going to reserve there.
    """

    path: str
    kind: str
    total: int
    free: int
    reserves: bool | None
    needed: int = 0


@dataclass(frozen=True, slots=True)
class Clock:
    """What the kernel says of its clock.

    Args:
        synced: it is kept right by somebody; None: the kernel does not tell.
        newest: seconds by which the newest file of the data directory lies ahead of the clock; below 0: behind.
        file: its name; "": there is none.
    """

    synced: bool | None
    newest: float = 0.0
    file: str = ""


@dataclass(frozen=True, slots=True)
class Path:
    """A file or directory.

    Args:
        mode: permission bits; None: it is not there.
        owner: user id.
        usable: this user may do with it what the daemon has to.
    """

    path: str
    mode: int | None
    owner: int = 0
    usable: bool = True


@dataclass(frozen=True, slots=True)
class Store:
    """A store that was asked.

    Args:
        url: without its password.
        version: "" where it did not answer.
        least: the oldest that will do.
        error: why it did not answer.
        hint: what to do about that.
    """

    url: str
    version: str
    least: str
    error: str = ""
    hint: str = ""


class Geo(NamedTuple):
    """A geo database: path, kind, days since it was made, and why it cannot be used ("" : it can)."""

    path: str
    kind: str
    days: float
    error: str = ""


# ------------------------------------------------------------------------ kernel


def backlog(somaxconn: int | None, wanted: int) -> Check:
    """Connections that may queue at a listener."""
    if somaxconn is None:
        return Check("somaxconn", OK, "the kernel does not tell how many connections may queue")
    if somaxconn < wanted:
        text = f"{somaxconn} connections may queue at a listener, http.backlog asks for {wanted}: more are refused"
        return Check("somaxconn", WARN, text, f"sysctl -w net.core.somaxconn={wanted}, and in /etc/sysctl.d for good")
    return Check("somaxconn", OK, f"{somaxconn}, http.backlog is {wanted}")


def migrate_req(value: int | None) -> Check:
    """Whether the kernel moves queued connections from a closed listener to its neighbours."""
    text = "not needed: the supervisor holds every listener while workers come and go"
    return Check("tcp_migrate_req", OK, f"{'not there' if value is None else value}; {text}")


def files(limit: int, connections: int, whose: str) -> Check:
    """Open files a worker may have."""
    needed = connections + BESIDE
    if limit >= needed:
        return Check("nofile", OK, f"{whose} may have {limit:,} files open, {needed:,} are needed at most")
    text = f"{whose} may have {limit:,} files open, http.max_connections = {connections} takes up to {needed:,}"
    return Check("nofile", WARN, text, f"LimitNOFILE={needed} in the unit, or a lower http.max_connections")


def memory(total: int, rings: int, engine: int, overcommit: int | None) -> Check:
    """Memory of the machine beside what rings and an embedded store may take (0: there is none)."""
    wanted = rings + engine
    if wanted > total:
        text = f"{_size(total)} in all; rings take {_size(rings)}, the embedded store up to {_size(engine)}"
        return Check("memory", FAIL if rings > total else WARN, text, "lower store.memory or ring.size")
    if overcommit == 2:
        text = "vm.overcommit_memory is 2: the engine reserves far more addresses than it uses and may be refused them"
        return Check("memory", WARN, text, "sysctl -w vm.overcommit_memory=0")
    return Check("memory", OK, f"{_size(total)}; rings and embedded store take {_size(wanted)} at most")


# -------------------------------------------------------------------------- disk


def space(disk: Disk) -> Check:
    """Free space."""
    left = disk.free - disk.needed
    text = f"{_size(disk.free)} of {_size(disk.total)} are free at {disk.path}"
    if disk.needed:
        text += f", {_size(disk.needed)} of which the rings will take"
    if left < LEAST_FREE:
        return Check("space", FAIL, text, "free some, move daemon.data_dir, or set ring.size and spool.max_bytes lower")
    if left < LITTLE_FREE or left < disk.total * LITTLE_SHARE:
        return Check("space", WARN, text, "free some: a full disk ends in 503 for every sender")
    return Check("space", OK, text)


def filesystem(disk: Disk, durable: bool) -> Check:
    """Whether the file system keeps what it promises: reserved room, syncs, locks."""
    kind, where = disk.kind or "a file system of no known kind", disk.path
    mend = "have daemon.data_dir on a local ext4 or xfs"
    if kind in IN_MEMORY:
        text = f"{where} is on {kind}, which is memory: nothing there outlives a restart of the machine"
        return Check("filesystem", FAIL if durable else WARN, text, mend)
    if kind.startswith(REMOTE):
        text = f"{where} is on {kind}: locks and mapped rings do not hold when the line breaks"
        return Check("filesystem", FAIL, text, mend)
    if kind in LAYERED:
        text = f"{where} is on {kind}, a container's own layer: it goes with the container"
        return Check("filesystem", WARN, text, "mount a volume at daemon.data_dir")
    if kind in COPYING:
        text = f"{where} is on {kind}, which writes changed blocks elsewhere: room for rings cannot be reserved"
        return Check("filesystem", WARN, text, "keep twice the rings' size free, or " + mend)
    if disk.reserves is False:
        text = f"{where} is on {kind}: a reserved file did not get its blocks; a full disk would kill a worker"
        return Check("filesystem", FAIL, text, mend)
    tried = "; reserved room is there" if disk.reserves else ""
    if kind not in HONEST and disk.reserves is None:
        mend = "run this as the daemon's user, so that reserving can be tried"
        return Check("filesystem", WARN, f"{where} is on {kind}", mend)
    return Check("filesystem", OK, f"{where} is on {kind}{tried}")


# ------------------------------------------------------------------------- clock


def clock(seen: Clock) -> Check:
    """Whether the clock is right, and goes forward."""
    if seen.newest > AHEAD:
        text = f"{seen.file} was written {seen.newest:.0f} s in the future: the clock was set back, or is wrong now"
        return Check("clock", FAIL, text, "set the clock (timedatectl); events of that span are dated by it")
    if seen.synced is False:
        text = "the kernel's clock is not kept in step: received times, days of visitors and salts drift with it"
        return Check("clock", WARN, text, "timedatectl set-ntp true, or install chrony; check with: timedatectl")
    if seen.synced is None:
        return Check("clock", OK, "the kernel does not tell whether its clock is kept in step")
    return Check("clock", OK, "kept in step (adjtimex)")


def zones(missing: Sequence[str]) -> Check:
    """Time zones; missing: those of a few that could not be read."""
    if missing:
        text = f"no time zone data: {', '.join(missing)} not found; statistics of days in a zone will fail"
        return Check("zones", FAIL, text, "apt install tzdata")
    return Check("zones", OK, "time zone data is there")


# ------------------------------------------------------------------- permissions


def data_dir(path: Path, me: int, runs: bool = False) -> Check:
    """The data directory.

    Args:
        me: this user's id.
        runs: a daemon works in it: it need not be ours to use.
    """
    if path.mode is None:
        if path.usable:
            return Check("data", OK, f"{path.path} is not there yet; a start makes it")
        text = f"{path.path} is not there, and this user may not make it"
        return Check("data", FAIL, text, f"as root: install -d -m 0700 -o USER {path.path}, or set daemon.data_dir")
    if path.owner != me and me != 0 and not runs:
        text = f"{path.path} belongs to user {path.owner}, this is user {me}"
        return Check("data", FAIL, text, "run this as the daemon's user or root; it has to belong to the daemon's user")
    if not path.usable and not runs:
        mend = "look at its permissions and at mount options (ro)"
        return Check("data", FAIL, f"{path.path} cannot be written to", mend)
    if path.mode & 0o077:
        text = f"{path.path} has mode {path.mode:04o}: salts and events are nobody else's"
        return Check("data", WARN, text, f"chmod 0700 {path.path}; a start does it, too")
    return Check("data", OK, f"{path.path}, mode {path.mode:04o}")


def config_file(path: Path | None, secret: bool) -> Check:
    """The configuration file; secret: a password stands in it."""
    if path is None:
        return Check("config", OK, "no file: defaults and environment")
    if path.mode is None or not path.usable:
        text = f"{path.path} {'is not there' if path.mode is None else 'cannot be read'}"
        return Check("config", FAIL, text, "name it with -c, or mend its permissions")
    if secret and path.mode & 0o004:
        text = f"{path.path} has mode {path.mode:04o} and the store's password in it"
        return Check("config", WARN, text, f"chmod o-r {path.path}")
    return Check("config", OK, f"{path.path} can be read and makes sense")


def config_wrong(text: str) -> Check:
    """Options that make no sense; text: as the daemon would say it."""
    return Check("config", FAIL, text.replace("\n", "; "), "trackflowd check -c FILE names each line")


def control_socket(path: Path, answers: bool) -> Check:
    """The control socket; answers: a daemon is behind it."""
    if answers:
        mode = "" if path.mode is None else f", mode {path.mode:04o}"
        if path.mode is not None and path.mode & 0o007:
            text = f"{path.path}{mode}: every user may read what the daemon says"
            return Check("socket", WARN, text, f"chmod o= {path.path}")
        return Check("socket", OK, f"{path.path}{mode}")
    if path.mode is not None and not path.usable:
        return Check("socket", FAIL, f"{path.path} may not be opened by this user", "run this as its owner or as root")
    return Check("socket", OK, f"nobody answers at {path.path}")


# -------------------------------------------------------- daemon, ports and store


def daemon(version: str, ready: bool, reason: str) -> Check:
    """The daemon; version: "" where none runs."""
    if not version:
        return Check("daemon", OK, "none runs: what a start would meet is looked at")
    if not ready:
        return Check("daemon", FAIL, f"{version} runs and is not ready: {reason}", "trackflow status; trackflow log")
    return Check("daemon", OK, f"{version} runs and is ready")


def port(option: str, address: str, ours: bool, error: str, hint: str, holder: int | None = None) -> Check:
    """An address to listen at.

    Args:
        ours: the daemon that runs holds it.
        error, hint: why it cannot be had, or "".
        holder: process that has it, where that is known.
    """
    if holder == 1:
        return Check("port", OK, f"{option} {address}: systemd has it, to be lent to the daemon (its socket unit)")
    if ours:
        return Check("port", OK, f"{option} {address}: the daemon has it")
    if error:
        return Check("port", FAIL, error, hint)
    return Check("port", OK, f"{option} {address} is free")


def store(seen: Store) -> Check:
    """The store."""
    if seen.error:
        mend = seen.hint or "start it, or mend store.url; events wait in rings and spool meanwhile"
        return Check("store", FAIL, f"{seen.url}: {seen.error}", mend)
    if seen.least and numbers(seen.version) < numbers(seen.least):
        text = f"{seen.url}: version {seen.version} is older than {seen.least}"
        return Check("store", FAIL, text, f"upgrade it to {seen.least} or later")
    return Check("store", OK, f"{seen.url}{f', version {seen.version}' if seen.version else ''}")


def geo(found: Sequence[Geo], directory: str) -> Check:
    """The databases of places."""
    for one in found:
        if one.error:
            return Check("geo", FAIL, one.error, "trackflow geo update")
    if not found:
        return Check("geo", WARN, f"no database in {directory}: events have no country", "trackflow geo update")
    oldest = max(found, key=lambda one: one.days)
    text = f"{oldest.kind}, {max(oldest.days, 0):.0f} days old"
    if oldest.days > OLD_DAYS:
        far = " and far off by now" if oldest.days > VERY_OLD_DAYS else ""
        return Check("geo", WARN, f"{text}{far}", "trackflow geo update, once a month (a timer or cron)")
    return Check("geo", OK, text)


# ---------------------------------------------------------------------- software


def python(version: tuple[int, int], least: tuple[int, int] = (3, 11)) -> Check:
    """The interpreter."""
    text = ".".join(map(str, version))
    if version < least:
        wanted = ".".join(map(str, least))
        return Check("python", FAIL, f"{text} is older than {wanted}", f"install Python {wanted} or later")
    return Check("python", OK, text)


def libraries(wanted: Mapping[str, str], have: Mapping[str, str]) -> Check:
    """Libraries: the oldest version of each that will do, and those that are installed."""
    wrong = []
    for name, least in sorted(wanted.items()):
        if name not in have:
            wrong.append(f"{name} is missing")
        elif numbers(have[name]) < numbers(least):
            wrong.append(f"{name} {have[name]} is older than {least}")
    if wrong:
        return Check("libraries", FAIL, ", ".join(wrong), "install the package again, or: make install")
    return Check("libraries", OK, f"{len(wanted)} libraries, none older than it may be")


def numbers(version: str) -> tuple[int, ...]:
    """A version as numbers to compare by: "26.9.2.1" → (26, 9, 2, 1); what is behind them is left out."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def well(checks: Iterable[Check]) -> bool:
    """Whether nothing has failed."""
    return all(check.state != FAIL for check in checks)


def _size(number: float) -> str:
    value, units = float(number), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.3g} {units[0]}"
