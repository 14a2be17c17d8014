"""trackflowd.proto.refusals: the table."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from trackflowd.config import OPTIONS
from trackflowd.counters import REFUSALS
from trackflowd.proto.refusals import REMEDIES, STATUS, TABLE, Code, refused
from trackflowd.site import Site

PROTOCOL = Path(__file__).parent.parent / "docs" / "protocol.md"


def test_every_code_can_be_counted_and_every_counter_has_a_code() -> None:
    assert tuple(code.name for code in TABLE) == REFUSALS
    assert len(STATUS) == len(TABLE)
    assert tuple(REMEDIES) == REFUSALS


@pytest.mark.parametrize("code", TABLE, ids=lambda code: code.name)
def test_every_code_is_documented_with_its_status(code: Code) -> None:
    name, status, scope, when = code
    assert f"| `{name}` | {status} | {scope} | {when} | {REMEDIES[name]} |" in PROTOCOL.read_text()


def test_what_is_to_be_done_names_options_and_settings_that_there_are() -> None:
    text = " ".join(REMEDIES.values())
    named = set(re.findall(r"`((?:http|ring|sites)\.[a-z_]+)`", text))
    assert len(named) >= 10
    assert named <= OPTIONS.keys()
    settings = set(re.findall(r"sites set SITE ([a-z_]+)=", text))
    assert settings >= {"origins", "paths", "rate"}
    assert settings <= {field.name for field in dataclasses.fields(Site)}


def test_a_refusal_has_its_codes_status() -> None:
    refusal = refused("bad_json", "why")
    assert (refusal.status, refusal.code, str(refusal)) == (400, "bad_json", "why")
    with pytest.raises(KeyError):
        refused("nonsense", "why")
