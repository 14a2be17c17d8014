"""Download one file within limits, and take the database out of its wrapping.

Apart from ``geoupdate`` because nothing here knows what the file is for: it knows HTTP, time
limits, and gzip, tar and zip from strangers, whose names are never used and whose sizes are not
believed.
"""

from __future__ import annotations

import gzip
import http.client
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar, cast
from urllib.parse import unquote_to_bytes, urlsplit

from trackflowd.errors import GeoError

#: (what, bytes so far, bytes in all or 0 where it is not said).
Progress = Callable[[str, int, int], None]

#: Largest download and largest database. MaxMind's largest commercial file is about 1 GB.
MAX_BYTES = 2 * 1024**3

#: Seconds without a byte, and for the whole.
STALL, WHOLE = 15.0, 900.0

T = TypeVar("T")

_CHUNK = 256 * 1024
_AGENT = "trackflow-geoupdate"


def silent(what: str, done: int, total: int) -> None:
    """Progress for nobody."""


def download(
    url: str,
    target: Path,
    progress: Progress = silent,
    *,
    shown: str = "",
    stall: float = STALL,
    whole: float = WHOLE,
    limit: int = MAX_BYTES,
) -> Path:
    """Fetch a URL into a file.

    Args:
        url: http or https. Redirects are followed, never from https to http.
        target: file to write.
        progress: told after each piece.
        shown: what errors call the URL; default it without user, password and query.
        stall, whole: seconds without a byte; seconds in all.
        limit: most bytes.

    Raises:
        GeoError: refused, too slow, too large, cut short. Its text holds the status, never the URL's query.
    """
    name = shown or public(url)
    request = _request(url, name)
    deadline = time.monotonic() + whole
    # A library's error may quote the URL, and with it a key: none is chained or quoted, except its reason.
    try:
        opener = urllib.request.build_opener(_Redirects)
        with opener.open(request, timeout=stall) as answer, open(target, "wb") as file:
            _copy(answer, file, name, progress, deadline, limit)
    except urllib.error.HTTPError as error:
        status, hint = error.code, _HINTS.get(error.code, "")
        error.close()
        raise GeoError(f"{name}: status {status}", hint) from None
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise GeoError(f"{name}: {_reason(error)}", "is the network reachable from here?") from None
    return target


def public(url: str) -> str:
    """A URL without what might be secret in it: user, password, query.

    Raises:
        GeoError: not a URL.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise GeoError("not a web address", "https://host/path of a database") from None
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _request(url: str, name: str) -> urllib.request.Request:
    """A request; user and password of the URL become a header, which is not sent on to another host."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise GeoError(f"{name}: only http and https addresses can be fetched")
    login, _, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(
        parts._replace(netloc=host).geturl(), headers={"User-Agent": _AGENT, "Accept-Encoding": "identity"}
    )
    if login:
        request.add_unredirected_header("Authorization", "Basic " + b64encode(unquote_to_bytes(login)).decode())
    return request


def _copy(
    answer: http.client.HTTPResponse, file: IO[bytes], name: str, progress: Progress, deadline: float, limit: int
) -> None:
    said = answer.headers.get("Content-Length", "")
    total = int(said) if said.isascii() and said.isdigit() else 0
    done = 0
    if total > limit:
        raise GeoError(f"{name}: {total} bytes are more than the {limit} a database may have")
    while piece := answer.read1(_CHUNK):
        file.write(piece)
        done += len(piece)
        if done > limit:
            raise GeoError(f"{name}: more than the {limit} bytes a database may have")
        if time.monotonic() > deadline:
            raise GeoError(f"{name}: not done in time after {done} bytes")
        progress(name, done, total)
    if total and done != total:
        raise GeoError(f"{name}: cut short after {done} of {total} bytes", "try again")


_HINTS = {
    401: "the license key was not taken",
    403: "the key or this network is not allowed there",
    429: "too many downloads today; try tomorrow",
}


def _reason(error: Exception) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, TimeoutError):
        return "no answer in time"
    if isinstance(inner, OSError):
        return inner.strerror or type(inner).__name__
    return type(inner).__name__


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Redirects that do not give up encryption: the address may carry a key."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def unpack(found: Path, work: Path, limit: int = MAX_BYTES) -> Path:
    """The database in a file: the file itself, or the largest .mmdb member of an archive.

    What the file is, its first bytes say; its name is not asked. Nothing is extracted by the names in an
    archive.

    Args:
        found: a database, or one in gzip, tar, tar.gz or zip. Left as it is.
        work: directory for the result.
        limit: most bytes of a database.

    Raises:
        GeoError: none of these, damaged, too large, or an archive without a database.
    """
    target = work / "unpacked.mmdb"
    try:
        with open(found, "rb") as file, open(target, "wb") as result:
            _unpack(file, result, str(found), limit)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile, NotImplementedError) as error:
        raise GeoError(f"{found.name}: a damaged archive: {error}") from error
    return target


def _unpack(file: IO[bytes], result: IO[bytes], name: str, limit: int) -> None:
    start = file.read(512)
    file.seek(0)
    if start.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(file) as archive:
            members = [(info.file_size, info) for info in archive.infolist() if info.filename.endswith(".mmdb")]
            with archive.open(_largest(members, name)) as member:
                _bounded(member, result, name, limit)
    elif _is_tar(file):
        with tarfile.open(fileobj=file, mode="r:*") as tar:
            found = [(info.size, info) for info in tar if info.isfile() and info.name.endswith(".mmdb")]
            inner = tar.extractfile(_largest(found, name))
            if inner is not None:
                _bounded(inner, result, name, limit)
    elif start.startswith(b"\x1f\x8b"):
        with gzip.open(file) as plain:
            _bounded(cast(IO[bytes], plain), result, name, limit)
    else:
        _bounded(file, result, name, limit)


def _is_tar(file: IO[bytes]) -> bool:
    """Whether a file is a tar, gzipped or not; its place stays at the start."""
    try:
        with tarfile.open(fileobj=file, mode="r:*") as tar:
            return tar.next() is not None
    except (tarfile.TarError, EOFError, zlib.error, OSError):
        return False
    finally:
        file.seek(0)


def _largest(members: list[tuple[int, T]], name: str) -> T:
    if not members:
        raise GeoError(f"{Path(name).name}: an archive without an .mmdb file")
    return max(members, key=lambda member: member[0])[1]


def _bounded(source: IO[bytes], result: IO[bytes], name: str, limit: int) -> None:
    """Copy at most limit bytes: an archive of 1 MB can hold 1 GB of zeroes."""
    done = 0
    while piece := source.read(_CHUNK):
        done += len(piece)
        if done > limit:
            raise GeoError(f"{Path(name).name}: unpacks to more than the {limit} bytes a database may have")
        result.write(piece)
