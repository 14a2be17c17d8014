"""systemd/: units, examples and site files, read by the programs they are for, and held to what the code says too."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from trackflowd import config, listeners
from trackflowd.cli import daemon
from trackflowd.client import SYSTEM_SOCKET

ROOT = Path(__file__).parent.parent
SYSTEMD = ROOT / "systemd"
UNITS = sorted(path.name for kind in ("service", "socket", "timer") for path in SYSTEMD.glob(f"*.{kind}"))
CONFIGS = sorted(str(path.relative_to(SYSTEMD)) for path in SYSTEMD.rglob("*.toml"))
#: Exposure in tenths, as `systemd-analyze security` counts it: 10 is nothing, 100 is everything.
EXPOSURE = {"trackflowd.service": 15, "trackflow-geoupdate.service": 15}


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)


def need(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not here")


def settings(name: str) -> dict[str, list[str]]:
    """Every setting of a unit, with all it is given, in order."""
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", (SYSTEMD / name).read_text(), re.M):
        found.setdefault(key, []).append(value)
    return found


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A directory with the units, whose programs are there."""
    (tmp_path / "bin").mkdir()
    for name in ("trackflow", "trackflowd"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\n")
        (tmp_path / "bin" / name).chmod(0o755)
    for name in UNITS:
        text = (SYSTEMD / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/trackflow/current", str(tmp_path)))
    return tmp_path


def test_systemd_understands_every_line_of_every_unit(installed: Path) -> None:
    need("systemd-analyze")
    assert len(UNITS) == 4
    done = run("systemd-analyze", "verify", "--man=no", *(installed / name for name in UNITS))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", sorted(EXPOSURE))
def test_a_service_is_shut_in(name: str) -> None:
    need("systemd-analyze")
    done = run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE[name]}", SYSTEMD / name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_chdb_may_compile() -> None:
    assert "MemoryDenyWriteExecute" not in settings("trackflowd.service")


def test_the_service_has_a_user_and_people_a_group(tmp_path: Path) -> None:
    need("systemd-sysusers")
    (tmp_path / "etc").mkdir()
    done = run("systemd-sysusers", f"--root={tmp_path}", SYSTEMD / "trackflow.sysusers")
    assert done.returncode == 0, done.stderr
    user = next(line for line in (tmp_path / "etc/passwd").read_text().splitlines() if line.startswith("trackflow:"))
    assert user.split(":")[5:] == ["/var/lib/trackflow", "/usr/sbin/nologin"]
    assert (tmp_path / "etc/group").read_text().startswith("trackflow:")


def test_a_stop_has_more_patience_than_a_drain() -> None:
    unit = settings("trackflowd.service")
    assert float(unit["TimeoutStopSec"][0].removesuffix("s")) > config.load(None, (), {}).daemon.drain_timeout


def test_the_sockets_are_those_the_configuration_speaks_of() -> None:
    unit = settings("trackflowd.socket")
    asked = tomllib.loads((SYSTEMD / "trackflow.toml").read_text())["http"]["listen"]
    assert unit["ListenStream"] == asked * listeners.EVEN
    assert int(unit["Backlog"][0]) == config.load(None, (), {}).http.backlog


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_is_right_and_fits_the_units(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert daemon(["check", "-c", str(SYSTEMD / name)]) == 0
    assert f"control  {SYSTEM_SOCKET}" in capsys.readouterr().out
    assert tomllib.loads((SYSTEMD / name).read_text())["sites"]["mode"] == "registered"


def test_the_installed_configuration_keeps_events_here() -> None:
    assert tomllib.loads((SYSTEMD / "trackflow.toml").read_text())["store"]["url"] == "chdb:"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--help"], 0, "make wheels && sudo systemd/install.sh"),
        (["--nonsense"], 2, "usage:"),
        (["--purge"], 1, "--purge goes with --uninstall"),
        (["--wheels"], 1, "which directory?"),
    ],
)
def test_install_sh_says_how_it_is_used_and_does_nothing(words: list[str], code: int, says: str) -> None:
    done = run(SYSTEMD / "install.sh", *words)
    assert (done.returncode, says in done.stdout + done.stderr) == (code, True)


def certificate(directory: Path) -> Sequence[str]:
    names = (str(directory / "key.pem"), str(directory / "cert.pem"))
    made = run(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-days", "2", "-subj", "/CN=stats.example.com", "-keyout", names[0], "-out", names[1]),
    )
    assert made.returncode == 0, made.stderr
    return names


def test_nginx_takes_the_site_file(tmp_path: Path) -> None:
    need("nginx")
    need("openssl")
    key, cert = certificate(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    site = (ROOT / "docs" / "nginx.conf").read_text()
    site = site.replace("/etc/letsencrypt/live/stats.example.com/fullchain.pem", cert)
    site = site.replace("/etc/letsencrypt/live/stats.example.com/privkey.pem", key)
    # nginx -t binds: ports of its own, and there may be no IPv6 here.
    site = re.sub(r"listen \[::\]:443.*", "", site).replace("443", f"127.0.0.1:{port}")
    (tmp_path / "site.conf").write_text(site)
    paths = "".join(
        f"{name}_temp_path {tmp_path}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n{paths}include {tmp_path}/site.conf;\n}}\n"
    )
    done = run("nginx", "-t", "-e", "stderr", "-p", tmp_path, "-c", tmp_path / "nginx.conf")
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr


def test_caddy_takes_the_site_file() -> None:
    need("caddy")
    done = run("caddy", "validate", "--adapter", "caddyfile", "--config", SYSTEMD / "examples" / "Caddyfile")
    assert done.returncode == 0, done.stderr
