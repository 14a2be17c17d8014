"""What the doctor looks at: this machine's kernel, disks, clock, files, ports and libraries.

Nothing is changed, but for a file without a name that is reserved in the data directory and gone at once. What cannot
be told on this system is None, and never an error.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import resource
import shutil
import socket
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from zoneinfo import ZoneInfo

import psutil

from trackflowd.doctor import checks
from trackflowd.enrich import geo
from trackflowd.errors import GeoError

PROC = Path("/proc")
#: Bytes of the file by which reserving is tried.
TRIED = 2**20
#: Zones that any set of data has.
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo")
#: struct timex is 208 bytes on 64-bit Linux; ``modes`` = 0 only reads. STA_UNSYNC, TIME_ERROR: adjtimex(2).
_TIMEX, _STATUS_AT, _UNSYNC, _ERROR = 512, 40, 0x40, 5
#: Files of the data directory that a daemon writes all the time.
_WRITTEN = ("state.sqlite", "snapshot.msgpack", "audit.log", "lock", "journal/*", "rings/*", "window/*")
_REQUIRED = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*(?:>=\s*([0-9.]+))?[^;]*(?:;\s*(.*))?$")


def sysctl(name: str) -> int | None:
    """A number of /proc/sys, ``net/core/somaxconn``."""
    try:
        return int((PROC / "sys" / name).read_text())
    except (OSError, ValueError):
        return None


def open_files(pid: int | None) -> int:
    """Files a process may have open: that of the daemon, or what a process started from here could have."""
    try:
        if pid is not None:  # prlimit(2) is for its own user and root only; this file is for all
            found = re.search(r"^Max open files +(\d+)", (PROC / f"{pid}/limits").read_text(), re.MULTILINE)
            return int(found[1]) if found else 2**31  # unlimited
    except OSError:
        pass
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def existing(path: Path) -> Path:
    """The path, or the first of its parents that is there."""
    return next(one for one in (path, *path.parents) if one.exists())


def disk(path: Path, needed: int) -> checks.Disk:
    """The disk under a directory; needed: see ``checks.Disk``."""
    there = existing(path)
    usage = shutil.disk_usage(there)
    return checks.Disk(str(there), kind_of(there), usage.total, usage.free, _reserves(there), needed)


def kind_of(path: Path, mounts: str | None = None) -> str:
    """Name of the file system a path is on: that of the mount with the longest path; mounts: as /proc/self/mounts."""
    try:
        text = (PROC / "self/mounts").read_text(errors="replace") if mounts is None else mounts
    except OSError:
        return ""
    best, kind = "", ""
    real = os.path.realpath(path)
    for line in text.splitlines():
        words = line.split()
        if len(words) < 3:
            continue
        at = re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), words[1])
        inside = real == at or real.startswith(at.rstrip("/") + "/")
        if inside and len(at) >= len(best):  # of two at one place the later one is on top
            best, kind = at, words[2]
    return kind


def _reserves(directory: Path) -> bool | None:
    try:
        fd = os.open(directory, os.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError:
        return None
    try:
        os.posix_fallocate(fd, 0, TRIED)
        return os.fstat(fd).st_blocks * 512 >= TRIED
    except OSError:
        return None  # a full disk says so elsewhere
    finally:
        os.close(fd)


def synced() -> bool | None:
    """Whether the kernel takes its clock for kept in step."""
    buffer = ctypes.create_string_buffer(_TIMEX)
    try:
        state = ctypes.CDLL(None).adjtimex(buffer)
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    status = int.from_bytes(buffer.raw[_STATUS_AT : _STATUS_AT + 4], "little")
    return state != _ERROR and not status & _UNSYNC


def clock(data_dir: Path, now: float | None = None) -> checks.Clock:
    """The clock, beside the newest file a daemon has written; now: wall clock, s."""
    moment = time.time() if now is None else now
    newest = max(((path.stat().st_mtime, path.name) for path in _written(data_dir)), default=(moment, ""))
    return checks.Clock(synced(), newest[0] - moment, newest[1])


def _written(data_dir: Path) -> Iterator[Path]:
    try:
        for pattern in _WRITTEN:
            yield from data_dir.glob(pattern)
    except OSError:
        return  # not ours to read; ``checks.data_dir`` says so


def zones(names: Sequence[str] = ZONES) -> Sequence[str]:
    """Those of some zones that are not there."""

    def there(name: str) -> bool:
        try:
            return bool(ZoneInfo(name))
        except (OSError, ValueError, KeyError):
            return False

    return [name for name in names if not there(name)]


def path(where: Path, need: int) -> checks.Path:
    """A file or directory; need: ``os.R_OK`` and the like. Of one that is not there: whether it could be made."""
    try:
        status = where.stat()
    except OSError:
        return checks.Path(str(where), None, usable=os.access(existing(where.parent), os.W_OK | os.X_OK))
    return checks.Path(str(where), stat.S_IMODE(status.st_mode), status.st_uid, os.access(where, need))


def listens(address: str) -> tuple[str, str]:
    """Why an address "host:port" cannot be listened at, and what to do; ("", ""): it can."""
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as error:
        return f"{address}: no such host: {error}", "give an address of this machine"
    family, kind, _, _, where = found[0]
    with socket.socket(family, kind) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            sock.bind(where)
            sock.listen(1)
        except PermissionError:
            return f"{address}: this user may not listen there", "use a port above 1023, or start it by systemd"
        except OSError as error:
            return f"{address}: {error.strerror}", f"see who has it: ss -ltnp 'sport = :{port}'"
    return "", ""


def listens_at_path(where: str) -> tuple[str, str]:
    """The same of a unix socket."""
    directory = os.path.dirname(where)
    if not os.path.isdir(directory):
        return f"{where}: there is no directory {directory}", f"make it: install -d -o USER {directory}"
    try:
        mode = os.lstat(where).st_mode
    except OSError:
        return "", ""  # whether it can be made there shows when the daemon's user does
    if not stat.S_ISSOCK(mode):
        return f"{where} is there and no socket", "move it away, or name another path"
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(where)
        except OSError as error:
            if error.errno != errno.EAGAIN:  # a full queue is somebody's queue
                return "", ""  # left by one that was killed; a start replaces it
    return f"{where}: somebody listens there", f"see who has it: ss -lxp src {where}"


def holder(address: str) -> int | None:
    """Process that listens at a port of an address; None: nobody, or only root may know."""
    port = address.rpartition(":")[2]
    try:
        found = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return None
    listening = (one for one in found if one.status == psutil.CONN_LISTEN and one.laddr and str(one.laddr.port) == port)
    return next((one.pid for one in listening if one.pid), None)


def databases(where: Path, now: float | None = None) -> list[checks.Geo]:
    """The geo databases of a file or directory; now: wall clock, s."""
    moment = time.time() if now is None else now
    files = sorted(where.glob("*.mmdb")) if where.is_dir() else [where] if where.exists() else []
    found = []
    for file in files:
        try:
            info = geo.open_checked(str(file)).info
        except GeoError as error:
            found.append(checks.Geo(str(file), "", 0.0, error.text))
        else:
            found.append(checks.Geo(str(file), info.kind, (moment - info.built) / 86_400))
    return found


def required(extras: Sequence[str], lines: Sequence[str] | None = None) -> Mapping[str, str]:
    """Libraries this program needs, and the oldest version of each.

    Args:
        extras: optional parts that are used: ``embedded``, ``postgres``.
        lines: as metadata has them; None: those of the package that is installed.
    """
    if lines is None:
        try:
            lines = metadata.requires("trackflowd") or ()
        except metadata.PackageNotFoundError:
            return {}
    wanted = {}
    for line in lines:
        if found := _REQUIRED.match(line):
            extra = re.search(r"""extra\s*==\s*["']([\w-]+)["']""", found[3] or "")
            if extra is None or extra[1] in extras:
                wanted[found[1].lower().replace("_", "-")] = found[2] or "0"
    return wanted


def installed(names: Sequence[str]) -> Mapping[str, str]:
    """Versions of those of some libraries that are there."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
