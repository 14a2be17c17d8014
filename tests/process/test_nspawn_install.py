"""The package and install.sh on a booted Debian: installed, shut in, upgraded, gone back, removed."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import geo_files
from tests.process.harness import ROOT
from tests.process.nspawn import Machine, installed, required
from tests.process.packages import built_wheels, copy_of, deb, deb_of

UNITS = ("trackflowd.service", "trackflowd.socket", "trackflow-geoupdate.service", "trackflow-geoupdate.timer")
#: What makes a version that takes the configuration and ends as soon as it is to run.
BREAKS = {
    "trackflowd/supervisor.py": ("from __future__ import annotations\n", "raise RuntimeError('broken on purpose')\n")
}


@pytest.fixture(scope="module", autouse=True)
def machines() -> None:
    required()


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Later versions of this tree: "new", and "broken", which does not start."""
    directory = tmp_path_factory.mktemp("trees")
    built_wheels(copy_of(directory / "new", "0.2.0"))
    deb_of(copy_of(directory / "broken", "0.3.0", BREAKS))
    return directory


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory, trees: Path) -> Iterator[Machine]:
    """A machine with the package. The last test of this file that uses it removes it."""
    with installed(tmp_path_factory.mktemp("packaged"), {trees: "/trees"}) as machine:
        yield machine


def views(count: int) -> list[dict[str, Any]]:
    return [
        {"site": "shop", "name": "pageview", "url": f"https://shop.example/{index % 3}", "id": str(uuid.uuid4())}
        for index in range(count)
    ]


def store(machine: Machine, events: list[dict[str, Any]]) -> None:
    assert machine.post(events) == (200, {"accepted": len(events), "refused": []})
    machine.trackflow("flush")


def stored(machine: Machine) -> int:
    count: int = machine.rows("SELECT count() AS n FROM events")[0]["n"]
    return int(count)


def version(machine: Machine) -> str:
    return str(json.loads(machine.trackflow("status", "--json"))["version"])


def releases(machine: Machine) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in (machine.root / "opt/trackflow/releases").iterdir())


# -------------------------------------------------------------------- the package


def test_systemd_has_nothing_to_say_about_the_units_and_counts_little_exposure(packaged: Machine) -> None:
    done = packaged.try_run("systemd-analyze", "verify", "--man=no", *UNITS)
    assert (done.returncode, done.stderr) == (0, "")
    judged = packaged.run("systemd-analyze", "security", "--no-pager", "trackflowd.service")
    exposure = re.search(r"Overall exposure level for trackflowd.service: ([0-9.]+)", judged)
    assert exposure is not None and float(exposure[1]) <= 1.5


def test_the_embedded_store_works_in_what_the_unit_allows(packaged: Machine) -> None:
    """Inserts, grouped queries often enough to be compiled, and changes of what is stored."""
    events = views(300)
    store(packaged, events)
    sql = "SELECT path, count() AS n, uniq(visitor) * 2 + count() % 7 AS m FROM events GROUP BY path ORDER BY path"
    for _ in range(6):
        assert [row["n"] for row in packaged.rows(sql)] == [100, 100, 100]
    for plan in ("a", "b", "c"):
        packaged.trackflow("events", "correct", events[0]["id"], "--site", "shop", "--set", f"plan={plan}")
    assert packaged.rows("SELECT props['plan'] AS plan, count() AS n FROM events GROUP BY plan ORDER BY n")[0] == {
        "plan": "c",
        "n": 1,
    }
    forbidden = re.compile("CANNOT_MPROTECT|not permitted", re.I)
    assert [line for line in packaged.journal("trackflowd") if forbidden.search(line)] == []


def test_processes_are_the_services_users_and_see_nothing_of_the_homes(packaged: Machine) -> None:
    pid = packaged.pid()
    status = packaged.run("cat", f"/proc/{pid}/status")
    assert re.search(r"^CapBnd:\t0+$", status, re.M)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.M)
    assert packaged.run("stat", "-c", "%U", f"/proc/{pid}").strip() == "trackflow"
    assert packaged.run("nsenter", "--target", str(pid), "--mount", "ls", "-A", "/root").strip() == ""
    state = packaged.run("stat", "-c", "%U %a", "/var/lib/trackflow", "/etc/trackflow/trackflow.toml")
    assert state.splitlines() == ["trackflow 700", "root 640"]


def test_the_service_that_fetches_a_geo_database_puts_it_where_the_daemon_looks(packaged: Machine) -> None:
    geo_files.write(packaged.root / "srv" / "places.mmdb", {"81.2.69.0/24": {"country": {"iso_code": "GB"}}})
    (packaged.root / "etc/default/trackflow-geoupdate").write_text("GEO_SOURCE=/srv/places.mmdb\n")
    packaged.systemctl("start", "trackflow-geoupdate.service")
    found = json.loads(packaged.trackflow("geo", "lookup", "--data-dir", "/var/lib/trackflow", "81.2.69.142", "--json"))
    assert found["country"] == "GB"
    assert packaged.run("stat", "-c", "%U", "/var/lib/trackflow/geo/places.mmdb").strip() == "trackflow"


def test_people_of_the_group_look_and_others_do_not(packaged: Machine) -> None:
    for name, groups in (("ann", ("--groups", "trackflow")), ("bob", ())):
        packaged.run("useradd", *groups, name)
    assert "ready" in packaged.run("runuser", "-u", "ann", "--", "trackflow", "status")
    refused = packaged.try_run("runuser", "-u", "ann", "--", "trackflow", "pause")
    assert refused.returncode == 1, refused.stderr
    assert packaged.try_run("runuser", "-u", "bob", "--", "trackflow", "status").returncode == 3


def test_reload_tells_a_mistake_in_the_file_and_nothing_changes(packaged: Machine) -> None:
    path = packaged.root / "etc/trackflow/trackflow.toml"
    text = path.read_text()
    packaged.systemctl("reload", "trackflowd")
    path.write_text(text + "\n[nonsense]\nx = 1\n")
    assert packaged.try_run("systemctl", "reload", "trackflowd").returncode != 0
    path.write_text(text)
    assert packaged.show("trackflowd.service", "ActiveState") == "active"
    store(packaged, views(1))


def test_a_package_that_does_not_come_up_goes_back_and_a_removed_one_leaves_the_data(
    packaged: Machine, trees: Path
) -> None:
    count, was = stored(packaged), version(packaged)
    (package,) = (trees / "broken" / "dist").glob("*.deb")
    done = packaged.try_run("dpkg", "--install", f"/trees/broken/dist/{package.name}", timeout=600)
    assert done.returncode != 0
    assert "broken on purpose" in done.stderr
    assert re.search(rf"0\.3\.0-\w+ does not come up, see above: {was}-\w+ runs again", done.stderr)
    packaged.until_ready()
    store(packaged, views(10))
    assert (version(packaged), stored(packaged)) == (was, count + 10)

    removed = packaged.try_run("dpkg", "--remove", "trackflow")
    assert removed.returncode == 0, removed.stderr
    assert "stay in /var/lib/trackflow" in removed.stderr
    assert packaged.post(views(1))[0] == 0
    assert not (packaged.root / "opt/trackflow/releases").exists()
    assert (packaged.root / "var/lib/trackflow/state.sqlite").exists()
    assert (packaged.root / "etc/trackflow/trackflow.toml").exists()

    purged = packaged.try_run("dpkg", "--purge", "trackflow")
    assert purged.returncode == 0, purged.stderr
    assert "deleting /var/lib/trackflow" in purged.stderr
    assert [name for name in ("var/lib", "etc", "opt") if (packaged.root / name / "trackflow").exists()] == []


# --------------------------------------------------------------------- install.sh


def test_install_sh_installs_upgrades_goes_back_and_leaves_the_data(tmp_path: Path, trees: Path) -> None:
    binds = {ROOT: "/source", deb().parent: "/dist", trees: "/trees"}
    with Machine(tmp_path / "machine", binds) as machine:
        _installs(machine)
        _upgrades_and_goes_back(machine)
        _uninstalls(machine)


def _installs(machine: Machine) -> None:
    assert "make wheels" in machine.try_run("/source/systemd/install.sh", "--wheels", "/nowhere").stderr
    machine.run("/source/systemd/install.sh", "--wheels", "/dist/wheels")
    machine.register("shop")
    store(machine, views(50))
    before = machine.pid()
    again = machine.try_run("/source/systemd/install.sh", "--wheels", "/dist/wheels", timeout=600)
    assert again.returncode == 0, again.stderr
    assert "runs already" in again.stderr
    assert machine.pid() == before


def _upgrades_and_goes_back(machine: Machine) -> None:
    was = version(machine)
    config = machine.root / "etc/trackflow/trackflow.toml"
    config.write_text(config.read_text() + "\n[log]\nformat = 'json'\n")
    upgraded = machine.try_run("/trees/new/systemd/install.sh", timeout=600)
    assert upgraded.returncode == 0, upgraded.stderr
    assert "trackflow.toml is kept" in upgraded.stderr
    assert (version(machine), stored(machine)) == ("0.2.0", 50)
    assert releases(machine) == [was, "0.2.0"]
    machine.until_ready()

    broken = machine.try_run("/trees/broken/systemd/install.sh", timeout=600)
    assert broken.returncode != 0
    assert re.search(r"0\.3\.0-\w+ does not come up, see above: 0\.2\.0-\w+ runs again", broken.stderr)
    machine.until_ready()
    store(machine, views(10))
    assert (version(machine), stored(machine)) == ("0.2.0", 60)

    right = config.read_text()
    config.write_text(right + "\n[nonsense]\nx = 1\n")
    refused = machine.try_run("/source/systemd/install.sh", "--wheels", "/dist/wheels", timeout=600)
    assert refused.returncode != 0
    assert "does not take /etc/trackflow/trackflow.toml" in refused.stderr
    config.write_text(right)
    assert version(machine) == "0.2.0"


def _uninstalls(machine: Machine) -> None:
    machine.run("/source/systemd/install.sh", "--uninstall")
    assert machine.post(views(1))[0] == 0
    assert (machine.root / "var/lib/trackflow/state.sqlite").exists()
    assert "json" in (machine.root / "etc/trackflow/trackflow.toml").read_text()
    assert not (machine.root / "opt/trackflow").exists()
    assert machine.try_run("systemctl", "cat", "trackflowd.service").returncode != 0
    machine.run("/source/systemd/install.sh", "--uninstall", "--purge")
    assert not (machine.root / "var/lib/trackflow").exists()
