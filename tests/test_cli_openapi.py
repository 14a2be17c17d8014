"""cli_openapi: the documents, printed and in docs/."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from trackflowd import cli, cli_openapi
from trackflowd.admin_routes import described

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("listener", cli_openapi.FILES)
def test_the_files_are_what_the_code_says(listener: str) -> None:
    text = (ROOT / "docs" / cli_openapi.FILES[listener]).read_text()
    assert text == cli_openapi.written(described()[listener]) + "\n", "run `make format`"


def test_each_listeners_document_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.operator(["openapi"]) == 0
    assert "/t.js" in json.loads(capsys.readouterr().out)["paths"]
    assert cli.operator(["openapi", "--admin", "--json"]) == 0
    assert "/v1/sites" in json.loads(capsys.readouterr().out)["paths"]


def test_the_module_writes_both_files(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "trackflowd.cli_openapi", str(tmp_path)], cwd=ROOT, check=True)
    for name in cli_openapi.FILES.values():
        assert (tmp_path / name).read_bytes() == (ROOT / "docs" / name).read_bytes()
