"""trackflow verify: what people and programs see of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.sites import Answer, Site
from trackflowd import cli, static


@pytest.fixture
def site() -> Iterator[Site]:
    """A site that serves its own tracker, as behind a proxy."""
    with Site() as site:
        site.answers["GET /"] = Answer('<script src="/t.js"></script>')
        site.answers["GET /t.js"] = Answer(static.asset("t.js") or b"", kind="text/javascript")
        site.answers["OPTIONS /v1/events"] = Answer(status=204)
        site.answers["POST /v1/events"] = Answer('{"error":"empty","reason":"x"}', 400)
        yield site


def test_what_works_is_said_line_by_line(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.operator(["verify", site.url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["ok", "page"], ["ok", "tag"], ["ok", "script"]]
    assert lines[-1] == "Nothing stands in the tracker's way."


def test_what_does_not_work_is_said_with_what_to_do(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    del site.answers["POST /v1/events"]
    assert cli.operator(["verify", site.url]) == 1
    out = capsys.readouterr().out
    assert "fail     endpoint" in out and "→ let data-api name a path of http.event_path" in out


def test_an_event_that_was_sent_can_be_looked_up(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.answers["POST /v1/events"] = Answer('{"accepted":1,"refused":[]}')
    assert cli.operator(["verify", site.url, "--send", "--site", "shop"]) == 1  # the empty body was taken too
    capsys.readouterr()
    site.answers["POST /v1/events"] = Answer('{"error":"empty","accepted":1,"refused":[]}')
    assert cli.operator(["verify", site.url, "--send", "--site", "shop"]) == 0
    assert "trackflow query \"SELECT * FROM events WHERE site = 'shop'" in capsys.readouterr().out


def test_the_same_is_there_as_json(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.operator(["verify", site.url, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert {"name", "state", "text", "mend"} == report["checks"][0].keys()
    assert report["facts"]["events"] == f"{site.url}/v1/events"


@pytest.mark.parametrize("words", [["ftp://x"], ["http://x:port"], ["https://"]])
def test_what_is_no_address_is_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.operator(["verify", *words]) == 2
    assert "no http or https address" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "-1", "x", "nan", "1e9"])
def test_a_timeout_is_a_number_of_seconds(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.operator(["verify", "x", "--timeout", text])
    assert caught.value.code == 2


def test_a_page_cannot_write_to_the_terminal(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.answers["GET /"] = Answer('<script src="/t.js" data-site="\x1b[2J"></script>')
    assert cli.operator(["verify", site.url]) == 0
    assert "\x1b" not in capsys.readouterr().out
