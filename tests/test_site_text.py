"""docs/sites.md and the table of settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from trackflowd import site_text
from trackflowd.control_text import END
from trackflowd.site import SETTINGS

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "sites.md"


def test_the_page_holds_the_table_as_it_is() -> None:
    assert PAGE.read_text() == site_text.filled(PAGE.read_text()), "run `make format`"


def test_every_setting_has_a_row_with_its_choices() -> None:
    rows = {row.split("|")[1].strip(" `"): row.split("|") for row in site_text.table().splitlines()[2:]}
    assert list(rows) == list(SETTINGS)
    for name, row in rows.items():
        assert len(row) == 6, f"{name}: a | in a cell"
        assert all(choice in row[4] for choice in SETTINGS[name].spec.choices)


def test_the_module_mends_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{site_text.BEGIN}\noutdated\n{END}\nafter\n")
    subprocess.run([sys.executable, "-m", "trackflowd.site_text", str(page)], cwd=ROOT, check=True)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    assert "| `gpc` |" in text and "outdated" not in text
