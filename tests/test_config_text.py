"""trackflowd.config_text: the example file and the reference page equal the table."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from trackflowd import config, config_text

ROOT = Path(__file__).parent.parent


def test_the_example_file_is_what_the_table_writes() -> None:
    assert (ROOT / "trackflowd.example.toml").read_text() == config_text.example(), "run `make format`"


def test_the_reference_page_is_what_the_table_writes() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == config_text.docs(), "run `make format`"


def test_loading_the_example_gives_the_defaults() -> None:
    env = {"STATE_DIRECTORY": "/state"}
    assert config.load(str(ROOT / "trackflowd.example.toml"), [], env) == config.load(None, [], env)


def test_the_example_holds_every_option_and_nothing_else() -> None:
    tables = tomllib.loads(config_text.example())
    assert [f"{name}.{key}" for name, keys in tables.items() for key in keys] == [r.key for r in config.options()]


def test_the_page_has_a_row_for_every_option() -> None:
    rows = [line for line in config_text.docs().splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in rows] == [row.name for row in config.options()]
    assert all(line.count(" | ") == 4 for line in rows)
    assert [line.split(" | ")[3] == "yes" for line in rows] == [row.spec.reload for row in config.options()]


def test_the_command_prints_either_or_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    assert config_text.main(["--example"]) == 0
    assert capsys.readouterr().out == config_text.example()
    assert config_text.main(["--docs"]) == 0
    assert capsys.readouterr().out == config_text.docs()
    assert config_text.main([]) == 2
    assert "--example|--docs" in capsys.readouterr().err
