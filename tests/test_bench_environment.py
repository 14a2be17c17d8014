"""bench.environment: what a document says of machine, versions and commit."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from bench import environment
from trackflowd import __version__

needs_git = pytest.mark.skipif(not shutil.which("git"), reason="git is missing: apt-get install git")


def git(where: Path, *words: str) -> str:
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
    return subprocess.run(["git", *who, *words], cwd=where, check=True, capture_output=True, text=True).stdout.strip()


def test_the_description_is_json_with_machine_versions_and_commit() -> None:
    said = json.loads(json.dumps(environment.describe()))
    assert set(said) == {"machine", "versions", "commit"}
    assert 1 <= said["machine"]["cores"] <= said["machine"]["cores_all"]
    assert said["machine"]["memory_bytes"] > 2**20 and len(said["machine"]["load"]) == 3
    assert said["versions"]["trackflowd"] == __version__
    assert {"python", "uvloop", "httptools"} <= set(said["versions"])


@needs_git
def test_a_commit_has_a_plus_once_a_file_differs(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert environment.commit(tmp_path) == head
    (tmp_path / "file").write_text("two")
    assert environment.commit(tmp_path) == head + "+"


@needs_git
def test_a_directory_inside_somebodys_repository_has_no_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    (tmp_path / "inside").mkdir()
    assert environment.commit(tmp_path / "inside") is None


def test_a_directory_outside_any_repository_has_no_commit(tmp_path: Path) -> None:
    assert environment.commit(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: other\n", "Some CPU @ 2 GHz"),
        ("processor\t: 0\nBogoMIPS\t: 50\n", ""),
        ("", ""),
    ],
)
def test_the_cpu_is_named_where_the_kernel_names_it(text: str, name: str) -> None:
    assert environment._cpu_model(text) == name


def test_the_system_is_named_as_it_calls_itself() -> None:
    assert environment._system('ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n').startswith("Debian GNU")
    assert environment._system("") == "Linux"
