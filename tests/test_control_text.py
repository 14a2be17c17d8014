from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trackflowd import control_text
from trackflowd.proto.command_table import COMMANDS

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "control.md"


def test_the_page_holds_the_table_as_it_is() -> None:
    assert PAGE.read_text() == control_text.filled(PAGE.read_text()), "run `make format`"


def test_every_command_has_a_row_with_its_arguments() -> None:
    rows = {row.split("|")[1].strip(" `"): row.split("|") for row in control_text.table().splitlines()[2:]}
    assert list(rows) == list(COMMANDS)
    for command in COMMANDS.values():
        row = rows[command.name]
        assert len(row) == 8, f"{command.name}: a | in a cell"
        assert all(f"`{arg.name}`" in row[4] for arg in command.args)
        assert ("yes" in row[5]) is command.acting


def test_a_page_without_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match="marks"):
        control_text.filled(control_text.BEGIN + " only")


def test_the_module_mends_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{control_text.BEGIN}\noutdated\n{control_text.END}\nafter\n")
    subprocess.run([sys.executable, "-m", "trackflowd.control_text", str(page)], cwd=ROOT, check=True)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    assert "| `version` |" in text and "outdated" not in text
