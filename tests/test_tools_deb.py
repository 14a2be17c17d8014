"""tools/deb: the Debian package, here of stand-ins for the wheels; tests/process/ installs a real one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = [
    *(ROOT / "systemd").glob("*.sh"),
    *(path for path in (ROOT / "systemd" / "deb").iterdir() if path.name[:3] in ("pos", "pre")),
    ROOT / "tools" / "deb",
]


def build(wheels: Path, dist: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "WHEELS": str(wheels), "DIST": str(dist), "VERSION": ""}
    return subprocess.run([ROOT / "tools" / "deb"], env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not here")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "requirements.txt").write_text("trackflowd==9.8.7 \\\n    --hash=sha256:00\n")
    (wheels / "uvloop-1.0-cp312-cp312-linux_x86_64.whl").write_text("")
    done = build(wheels, tmp_path / "dist")
    assert done.returncode == 0, done.stderr
    (found,) = (tmp_path / "dist").iterdir()
    return found


def told(*words: str | Path) -> str:
    return subprocess.run(["dpkg-deb", *words], capture_output=True, text=True, check=True).stdout


def test_the_package_fits_the_python_of_its_wheels(package: Path) -> None:
    assert package.name.startswith("trackflow_9.8.7-1_")
    depends = told("--field", package, "Depends")
    assert "python3 (>= 3.12), python3 (<< 3.13)" in depends


def test_what_the_units_and_scripts_name_is_in_it(package: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    told("--extract", package, tree)
    assert (tree / "usr/bin/trackflow").readlink() == Path("/opt/trackflow/current/bin/trackflow")
    for unit in (ROOT / "systemd").glob("*.service"):
        text = (tree / "usr/lib/systemd/system" / unit.name).read_text()
        for line in text.splitlines():
            if line.startswith("Documentation=file://"):
                assert (tree / line.removeprefix("Documentation=file:///")).is_file(), line
    for name in ("lib/release.sh", "lib/backoff.conf", "wheels/requirements.txt", "doc/examples/nginx.conf"):
        assert (tree / "opt/trackflow" / name).is_file(), name
    for name in ("sysusers.d/trackflow.conf", "tmpfiles.d/trackflow.conf", "sysctl.d/60-trackflow.conf"):
        assert (tree / "usr/lib" / name).is_file(), name


def test_the_configuration_is_the_administrators(package: Path) -> None:
    assert told("--info", package, "conffiles").split() == ["/etc/trackflow/trackflow.toml"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not here")
    done = subprocess.run(["shellcheck", "-x", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_without_wheels_it_says_what_to_type(tmp_path: Path) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not here")
    done = build(tmp_path, tmp_path)
    assert done.returncode == 1
    assert "make wheels" in done.stderr
