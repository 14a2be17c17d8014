"""docs/security.md and docs/privacy.md: what they name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trackflowd import site
from trackflowd.config import OPTIONS
from trackflowd.proto.refusals import STATUS

ROOT = Path(__file__).parent.parent
SECTIONS = {option.section for option in OPTIONS.values()}


@pytest.fixture(params=["security", "privacy"])
def text(request: pytest.FixtureRequest) -> str:
    """The text of a document."""
    return (ROOT / "docs" / f"{request.param}.md").read_text()


def test_each_option_is_one(text: str) -> None:
    named = {name for name in re.findall(r"`([a-z]+\.[a-z_]+)(?:`| = )", text) if name.split(".")[0] in SECTIONS}
    assert named
    assert named <= OPTIONS.keys()


def test_each_default_is_the_one_of_the_table() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    for key, value in (("http.header_timeout", "5 s"), ("http.body_timeout", "10 s"), ("http.max_body", "1 MiB"),
                       ("http.max_inflight", "64 MiB"), ("http.max_inflated", "4 MiB"),
                       ("http.max_connections", "10,000"), ("http.max_connections_per_address", "1,000")):  # fmt: skip
        assert f"`{key}` {value}" in text
        number = int(value.split()[0].replace(",", "")) * (1 << 20 if value.endswith("MiB") else 1)
        assert OPTIONS[key].default == number


def test_each_test_that_shows_something_is_there(text: str) -> None:
    shown = set(re.findall(r"`(tests/[a-z_/]+\.py)`", text))
    assert shown
    assert [name for name in shown if not (ROOT / name).exists()] == []


def test_each_refusal_and_setting_is_one(text: str) -> None:
    codes = set(re.findall(r"X-Trackflow-Refused: ([a-z_]+)|50\d `([a-z_]+)`", text))
    assert {a or b for a, b in codes} <= STATUS.keys()
    settings = set(re.findall(r"`(retention_days|query_params|salt_hour|gpc|dnt|bot_policy|store_ip)\b", text))
    assert settings <= site.SETTINGS.keys()
