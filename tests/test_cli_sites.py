"""cli_sites: what is asked for, and what is said."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.control_stage import stage
from trackflowd import cli, cli_sites
from trackflowd.site import DEFAULT, Site, settings_of

SITE: dict[str, Any] = {
    "site": "a.example", "settings": settings_of(Site("a.example", gpc="refuse", origins=("https://a.example",))),
    "keys": 1, "created_ms": 1_795_521_600_000, "changed_ms": 1_795_521_660_000,
}  # fmt: skip
ANY: dict[str, Any] = {
    "site": "*", "settings": settings_of(DEFAULT), "keys": 0, "created_ms": None, "changed_ms": None,
}  # fmt: skip


@pytest.fixture(autouse=True)
def here() -> Iterator[None]:
    """People see times in their own zone; in these tests that is UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def run(tmp_path: Path, *words: str) -> int:
    return cli.operator(["--data-dir", str(tmp_path), "sites", *words])


def test_the_list_says_the_mode_and_what_is_not_the_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages = iter(
        [{"mode": "open", "sites": [ANY], "next": "*"}, {"mode": "open", "sites": [SITE], "next": ""}] * 2,
    )
    with stage(tmp_path, {"sites": lambda: next(pages)}) as asked:
        assert run(tmp_path, "list") == 0
        out = capsys.readouterr().out.splitlines()
        assert run(tmp_path, "list", "--json") == 0
    assert [one["args"] for one in asked[:2]] == [{"limit": 1000}, {"limit": 1000, "after": "*"}]
    assert out[0] == "mode open: events of any site are taken"
    assert out[2].split() == ["site", "keys", "changed", "settings"]
    assert out[3].split() == ["*", "0", "never", "all", "as", "by", "default"]
    assert out[4].split() == [
        *("a.example", "1", "2026-11-24", "12:01:00", "origins=https://a.example", "gpc=refuse"),
    ]
    assert json.loads(capsys.readouterr().out) == {"mode": "open", "sites": [ANY, SITE]}


def test_a_site_is_shown_with_every_setting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage(tmp_path, {"site": SITE}) as asked:
        assert run(tmp_path, "show", "a.example") == 0
        head, *lines = capsys.readouterr().out.splitlines()
        assert run(tmp_path, "show", "a.example", "--json") == 0
    assert asked[0]["args"] == {"site": "a.example"}
    assert head == "a.example: registered 2026-11-24 12:00:00, changed 2026-11-24 12:01:00, 1 key"
    assert [line.split()[0] for line in lines] == list(SITE["settings"])
    assert {"  gpc                refuse", "  query_params       *", '  paths              ""'} <= set(lines)
    assert json.loads(capsys.readouterr().out) == SITE


def test_settings_are_sent_as_texts_and_what_changed_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = {"paths": {"old": [], "new": ["/a", "/b"]}, "rate": {"old": 5.0, "new": 0.0}}
    answers = {"site_set": {**SITE, "changed": changed, "published": True}, "site_add": {**SITE, "published": False}}
    with stage(tmp_path, answers) as asked:
        assert run(tmp_path, "add", "a.example", "gpc=refuse", "note=a=b") == 0
        out, err = capsys.readouterr()
        assert run(tmp_path, "set", "a.example", "paths=/a,/b", "--unset", "rate") == 0
    assert (out, "they know once there is room" in err) == ("site a.example is registered\n", True)
    assert capsys.readouterr().out.splitlines() == ['paths: "" -> /a,/b', "rate: 5 -> 0"]
    assert [one["args"] for one in asked] == [
        {"site": "a.example", "settings": {"gpc": "refuse", "note": "a=b"}},
        {"site": "a.example", "settings": {"paths": "/a,/b", "rate": None}},
    ]


def test_a_removal_says_what_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage(tmp_path, {"site_remove": {"removed": "a", "revoked": [{}, {}], "published": True}}) as asked:
        assert run(tmp_path, "remove", "a", "--revoke-keys") == 0
    assert capsys.readouterr().out == "site a is removed; its events stay, 2 keys revoked\n"
    assert asked[0]["args"] == {"site": "a", "revoke_keys": True}


def test_an_export_is_what_an_import_sends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {"trackflow": "sites", "version": 1, "sites": []}
    changes = [
        {"site": "a", "change": "added", "settings": {"gpc": {"old": "ignore", "new": "refuse"}}},
        {"key": 7, "name": "server", "site": "a", "change": "revoked"},
    ]
    told = iter(
        [{"changes": changes, "same": 3, "applied": False}, {"changes": [], "same": 3, "applied": True}],
    )
    with stage(tmp_path, {"sites_export": document, "sites_import": lambda: next(told)}) as asked:
        assert run(tmp_path, "export", "--keys") == 0
        text = capsys.readouterr().out
        (tmp_path / "sites.json").write_text(text)
        assert run(tmp_path, "import", str(tmp_path / "sites.json"), "--replace", "--dry-run") == 0
        assert capsys.readouterr().out.splitlines() == [
            "site a: added",
            "  gpc: ignore -> refuse",
            "key 7 (server of a): revoked",
            "2 would change, 3 are the same",
        ]
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert run(tmp_path, "import", "-") == 0
    assert capsys.readouterr().out == "nothing to change\n"
    assert [one["args"] for one in asked] == [
        {"keys": True},
        {"document": document, "replace": True, "dry_run": True},
        {"document": document, "replace": False, "dry_run": False},
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set", "a"), "nothing to change"),
        (("set", "a", "gpc"), "'gpc' is no NAME=VALUE"),
        (("add", "a", "gpc=refuse", "gpc=ignore"), "gpc is given twice"),
        (("import", "no.json"), "cannot be read"),
        (("import", "list.json"), "is no export of sites"),
        (("import", "bad.json"), "is not JSON"),
        (("import", "large.json"), "is larger than"),
    ],
)
def test_what_makes_no_sense_is_not_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_sites, "MAX_REQUEST", 5000)
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "large.json").write_text(json.dumps({"sites": ["x" * 1000]}))
    with stage(tmp_path, {}) as asked:
        assert run(tmp_path, *words) == 2
    assert said in capsys.readouterr().err
    assert asked == []
