"""tools/bootstrap and tools/run, with stand-ins for the programs they call."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: A python3 that "makes" a .venv whose pip does what $PIP says (true or false).
PYTHON = """#!/bin/sh
case "$*" in
    "-m venv .venv") mkdir -p .venv/bin; printf '#!/bin/sh\\necho "$*" >> log\\n$PIP\\n' > .venv/bin/python
                     chmod +x .venv/bin/python; echo venv >> log;;
    *version_info*) exit ${TOO_OLD:-0};;
    *ensurepip*) exit ${NO_VENV:-0};;
    *) exit 1;;
esac
"""


class Tree:
    """A copy of what the tools need, in a directory of its own, with stand-ins first in the PATH."""

    def __init__(self, directory: Path) -> None:
        self.at = directory / "tree"
        self.stand_ins = directory / "bin"
        self.stand_ins.mkdir()
        shutil.copytree(ROOT / "tools", self.at / "tools")
        for name in ("requirements.lock", "setup.cfg", "pyproject.toml"):
            shutil.copy(ROOT / name, self.at / name)
        self.stand_in("python3", PYTHON)
        for name in ("python3.14", "python3.13", "python3.12", "python3.11", "virtualenv"):
            self.stand_in(name, "#!/bin/sh\nexit 1\n")
        self.stand_in("df", "#!/bin/sh\necho head\necho disk 1 1 ${FREE:-9999999} 1 /\n")

    def stand_in(self, name: str, text: str) -> None:
        path = self.stand_ins / name
        path.write_text(text)
        path.chmod(0o755)

    def run(self, tool: str, **env: str) -> subprocess.CompletedProcess[str]:
        search = f"{self.stand_ins}:{os.environ['PATH']}"
        kept = {key: value for key, value in os.environ.items() if key not in ("PYTHON", "PORT", "DATA")}
        command = [str(self.at / "tools" / tool)]
        return subprocess.run(
            command, env=kept | {"PATH": search, "PIP": "true"} | env, capture_output=True, text=True, check=False
        )

    def log(self) -> list[str]:
        path = self.at / "log"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_bootstrap_installs_from_the_lock_and_then_does_nothing(tree: Tree) -> None:
    first = tree.run("bootstrap")
    assert first.returncode == 0, first.stderr
    assert tree.log() == [
        "venv",
        "-m pip install --require-hashes -r requirements.lock",
        "-m pip install --quiet --no-deps --no-build-isolation -e .",
    ]
    second = tree.run("bootstrap")
    assert (second.returncode, second.stderr, len(tree.log())) == (0, "", 3)
    assert not (tree.at / ".venv" / "tmp").exists()


def test_an_install_that_failed_is_not_believed(tree: Tree) -> None:
    broken = tree.run("bootstrap", PIP="exit 1")
    assert broken.returncode != 0
    assert "did not finish" in broken.stderr
    assert tree.run("bootstrap").returncode == 0
    assert tree.log().count("venv") == 2


def test_a_changed_lock_or_a_moved_tree_installs_again(tree: Tree) -> None:
    tree.run("bootstrap")
    with (tree.at / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    tree.run("bootstrap")
    assert tree.log().count("venv") == 2
    tree.at = tree.at.rename(tree.at.with_name("moved"))
    tree.run("bootstrap")
    assert tree.log().count("venv") == 3


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"FREE": "1048576"}, "needs 2048 MiB of disk here, 1024 MiB are free"),
        ({"TOO_OLD": "1"}, "no Python of 3.11 or later"),
        ({"NO_VENV": "1"}, "sudo apt-get install python3-venv"),
        ({"PYTHON": "python3.11"}, "python3.11 is not a Python of 3.11 or later"),
    ],
)
def test_bootstrap_says_what_is_missing_and_makes_nothing(tree: Tree, env: dict[str, str], says: str) -> None:
    done = tree.run("bootstrap", **env)
    assert done.returncode == 1
    assert says in done.stderr
    assert tree.log() == []


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Linux", "riscv64")])
def test_bootstrap_names_a_system_it_does_not_run_on(tree: Tree, system: str, machine: str) -> None:
    tree.stand_in("uname", f'#!/bin/sh\n[ "$1" = -s ] && echo {system} || echo {machine}\n')
    done = tree.run("bootstrap")
    assert done.returncode == 1
    assert "runs on Linux" in done.stderr or "x86_64 and aarch64; this is riscv64" in done.stderr


def real_python(tree: Tree) -> None:
    """A .venv whose python is this one, but for modules of ours, and whose trackflowd tells its arguments."""
    directory = tree.at / ".venv" / "bin"
    directory.mkdir(parents=True)
    (directory / "python").write_text(
        f'#!/bin/sh\n[ "$1" = -m ] && exit ${{GEO:-0}}\nexec {shutil.which("python3")} "$@"\n'
    )
    (directory / "trackflowd").write_text('#!/bin/sh\necho "$*"\n')
    for path in directory.iterdir():
        path.chmod(0o755)


def test_run_names_the_port_that_is_taken_and_another_to_try(tree: Tree) -> None:
    real_python(tree)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = tree.run("run", PORT=str(port))
    assert done.returncode == 1
    assert f"Port {port} is taken" in done.stderr
    assert "make run PORT=8090" in done.stderr


@pytest.mark.parametrize("port", ["", "80a", "99999"])
def test_run_refuses_what_is_no_port(tree: Tree, port: str) -> None:
    real_python(tree)
    assert tree.run("run", PORT=port or " ").returncode == 1


@pytest.mark.parametrize("geo", ["0", "1"])
def test_run_serves_the_demo_with_or_without_geo(tree: Tree, geo: str) -> None:
    real_python(tree)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    done = tree.run("run", PORT=str(port), GEO=geo)
    assert done.returncode == 0, done.stderr
    assert f"run --follow --data-dir {tree.at}/.data --set http.listen=127.0.0.1:{port}" in done.stdout
    assert ("without a geo database" in done.stderr) == (geo == "1")
