"""Downloads with limits, and databases in every wrapping."""

from __future__ import annotations

import gzip
import io
import socket
import tarfile
import zipfile
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.geo_files import Served, serve
from trackflowd.errors import GeoError
from trackflowd.geofetch import download, unpack

BODY = bytes(range(256)) * 4000


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Generator[Served, None, None]:
    monkeypatch.setenv("no_proxy", "*")
    with serve() as server:
        yield server


def test_a_file_arrives_whole_and_progress_ends_at_its_size(served: Served, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    url = served.put("/db", BODY)
    assert download(url, tmp_path / "db", lambda _, done, total: told.append((done, total))).read_bytes() == BODY
    assert told[-1] == (len(BODY), len(BODY))
    assert told == sorted(told)


def test_a_file_of_unknown_length_arrives_too(served: Served, tmp_path: Path) -> None:
    served.answers["/db"] = (200, {}, BODY)
    assert download(served.base + "/db", tmp_path / "db").read_bytes() == BODY


def test_a_redirect_is_followed(served: Served, tmp_path: Path) -> None:
    served.answers["/old"] = (302, {"Location": served.put("/new", BODY), "Content-Length": "0"}, b"")
    assert download(served.base + "/old", tmp_path / "db").read_bytes() == BODY


@pytest.mark.parametrize(
    ("headers", "body", "text"),
    [
        ({"Content-Length": "1000"}, b"x" * 10, "cut short after 10 of 1000"),
        ({"Content-Length": "99999"}, b"x", "more than the 5000"),
        ({}, b"x" * 6000, "more than the 5000"),
    ],
)
def test_short_and_large_files_are_refused(
    served: Served, tmp_path: Path, headers: dict[str, str], body: bytes, text: str
) -> None:
    served.answers["/db"] = (200, headers, body)
    with pytest.raises(GeoError, match=text):
        download(served.base + "/db", tmp_path / "db", limit=5000)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_a_refusal_names_its_status_and_not_the_key(served: Served, tmp_path: Path, status: int) -> None:
    served.answers["/db?license_key=Secret"] = (status, {"Content-Length": "0"}, b"")
    with pytest.raises(GeoError, match=f"status {status}") as caught:
        download(served.base.replace("//", "//user:Secret@") + "/db?license_key=Secret", tmp_path / "db")
    assert "Secret" not in f"{caught.value}{caught.value.__cause__!r}"


def test_nobody_there_is_told_without_the_key(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(GeoError, match="refused") as caught:
        download(f"http://127.0.0.1:{port}/db?license_key=Secret", tmp_path / "db")
    assert "Secret" not in str(caught.value)


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(GeoError, match="no answer in time"):
            download(f"http://127.0.0.1:{silent.getsockname()[1]}/db", tmp_path / "db", stall=0.05)


def test_a_download_that_lasts_too_long_is_given_up(served: Served, tmp_path: Path) -> None:
    with pytest.raises(GeoError, match="not done in time"):
        download(served.put("/db", BODY), tmp_path / "db", whole=-1.0)


def test_user_and_password_go_into_a_header(served: Served, tmp_path: Path) -> None:
    url = served.put("/db", BODY).replace("//", "//me:p%40ss@")
    assert download(url, tmp_path / "db").read_bytes() == BODY
    assert served.logins == ["Basic bWU6cEBzcw=="]


def test_what_is_no_address_is_refused(tmp_path: Path) -> None:
    for url in ("http://[::1/db", "http://127.0.0.1:port/db", "http:///db", "http://127.0.0.1/a b"):
        with pytest.raises(GeoError):
            download(url, tmp_path / "db")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/db", "file:///etc/passwd", "data:,x"])
def test_other_schemes_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(GeoError, match="only http"):
        download(url, tmp_path / "db")


def _tar(mode: str, members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _zip(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


MEMBERS = {"x/readme.txt": b"r" * 9000, "x/small.mmdb": b"small", "../../x/large.mmdb": BODY}


@pytest.mark.parametrize(
    "wrapped",
    [BODY, gzip.compress(BODY), _tar("w", MEMBERS), _tar("w:gz", MEMBERS), _zip(MEMBERS)],
    ids=["plain", "gzip", "tar", "tar.gz", "zip"],
)
def test_the_largest_database_comes_out_of_every_wrapping(wrapped: bytes, tmp_path: Path) -> None:
    found = tmp_path / "found"
    found.write_bytes(wrapped)
    work = tmp_path / "work"
    work.mkdir()
    assert unpack(found, work).read_bytes() == BODY
    assert [path.name for path in work.iterdir()] == ["unpacked.mmdb"]
    assert found.read_bytes() == wrapped
    with pytest.raises(GeoError, match="more than the 1000"):
        unpack(found, work, limit=1000)


@pytest.mark.parametrize(
    "wrapped",
    [gzip.compress(BODY)[:500], _zip(MEMBERS)[:500], _zip({"a.txt": b"x"}), _tar("w:gz", {"a.txt": b"x"})],
    ids=["gzip cut", "zip cut", "zip without", "tar without"],
)
def test_damaged_archives_and_such_without_a_database_are_refused(wrapped: bytes, tmp_path: Path) -> None:
    found = tmp_path / "found"
    found.write_bytes(wrapped)
    with pytest.raises(GeoError, match="archive"):
        unpack(found, tmp_path)
