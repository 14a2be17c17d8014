"""bench/schema on a small store: every choice is one, all are asked the same, and the store is left as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import schema
from trackflowd.sink import migrations

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled")
    subprocess.run([sys.executable, "-m", "bench.scenarios.fill", str(path), "3000"], cwd=ROOT, check=True, timeout=120)
    return path


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", "schema", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


def test_every_variant_is_filled_and_asked_and_the_store_left_as_it_was(filled: Path) -> None:
    done = run(str(filled), "--repeat", "1", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["rows"] == 3000 and list(said["variants"]) == list(schema.VARIANTS)
    assert all(one["bytes_event"] > 0 and one["ms"]["overview"] > 0 for one in said["variants"].values())
    for name in ("lz4", "zstd", "lowcard", "json"):  # on so few rows other granules and orders may come to the same
        assert said["variants"][name]["bytes_event"] != said["variants"]["schema"]["bytes_event"], name
    again = run(str(filled), "--variants", "schema", "--json")
    figures = json.loads(again.stdout)["variants"]["schema"]
    assert figures["bytes_event"] == said["variants"]["schema"]["bytes_event"]


def test_what_makes_no_sense_is_said(filled: Path, tmp_path: Path) -> None:
    assert "there is no 'wide'" in run(str(filled), "--variants", "wide").stderr
    done = run(str(tmp_path))
    assert done.returncode == 2 and "bench.scenarios.fill" in done.stderr


def test_codecs_are_named_for_columns_that_are_there() -> None:
    base = migrations.load("clickhouse")[0].statements[0]
    assert all(f"    {name} " in base for name in schema._TEXTS)
