"""cli_status: the daemon's state on one screen, whatever of it is known."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trackflowd import cli_status
from trackflowd.cli_status import geo_text, lines
from trackflowd.cli_text import Style

STATUS: dict[str, Any] = {
    "version": "0.1.0",
    "pid": 41,
    "uptime_s": 192.0,
    "health": {"alive": True, "ready": True, "reason": ""},
    "processes": [
        {"role": "supervisor", "slot": 0, "pid": 41, "state": "ready", "uptime_s": 192.0, "restarts": 0}
        | {"cpu_s": 0.5, "rss": 30 * 2**20, "fds": 31, "heartbeat_age_s": 0.0},
        {"role": "worker", "slot": 1, "pid": None, "state": "waiting", "uptime_s": None, "restarts": 3}
        | {"cpu_s": None, "rss": None, "fds": None, "heartbeat_age_s": None},
    ],
    "rates": {"requests_s": 12.3, "events_s": 1234.0, "stored_s": 1200.0},
    "latency": {"p50_ms": 0.0871, "p99_ms": 12.34},
    "alerts": [],
    "totals": {"events_accepted": 12345, "rows_stored": 12340, "duplicates": 2, "events_refused": 7},
    "rings": [
        {"file": "0-a.ring", "slot": 0, "capacity": 2**20, "used": 2**19, "fill": 0.5, "damage": ""},
        {"file": "x.ring", "slot": -1, "capacity": 0, "used": 0, "fill": 0.0, "damage": "not a ring"},
    ],
    "sink": {"url": "chdb:", "state": "ok", "text": "", "last_error": ""},
    "oldest_pending_s": 0.4,
    "refusals": {"bad_json": 5, "timeout": 2, "method": 0},
    "window": {"ids": 12340, "span_s": 190.0, "duplicates": 2},
    "spool": {"segments": 0, "bytes": 0, "limit": 2**32, "free": 2**31, "oldest_s": None, "text": ""},
    "buffer": {"room": 2**31, "bytes_s": 0.0, "full_in_s": None},
    "quarantine": {"files": 0, "rows": 0},
    "disk": {"total": 2**37, "free": 2**36, "rings": 2**26, "spool": 0, "store": 2**30, "days_to_full": None},
    "listen": {"http": ["127.0.0.1:8080"], "admin": "127.0.0.1:8081", "control": "/run/t/control.sock"},
    "data_dir": "/var/lib/trackflow",
    "geo": {"database": "/geo/x.mmdb", "type": "DBIP-Country-Lite", "built": 1_793_491_200},
}


def shown(**changes: Any) -> str:
    return "\n".join(lines({**STATUS, **changes}, Style(False)))


@pytest.mark.parametrize(
    "text",
    [
        "trackflowd 0.1.0 · pid 41 · up 3 m 12 s · ready",
        "12.3 requests/s, 1,234 events/s in, 1,200 rows/s stored",
        "12,345 accepted, 12,340 stored, 2 repeats left out, 7 refused",
        "the oldest event not yet stored is 400 ms old",
        "chdb:  ok",
        "512 KiB of 1 MiB",
        "not a ring",
        "worker 1",
        "bad_json",
        "127.0.0.1:8080",
        "/geo/x.mmdb (DBIP-Country-Lite, built 2026-11-01)",
    ],
)
def test_the_screen_shows(text: str) -> None:
    assert text in shown()


def test_alerts_stand_first_with_what_to_do() -> None:
    alert = {"name": "geo_old", "severity": "warning", "since_ms": 0, "text": "it is old", "hint": "update it"}
    text = shown(alerts=[alert])
    assert text.index("warning  geo_old") < text.index("it is old") < text.index("update it") < text.index("requests/s")
    assert "alerts" not in shown()


def test_latency_is_shown_where_it_is_known() -> None:
    assert "half of the requests answered within 0.0871 ms, 99% within 12.3 ms" in shown()
    assert "half of the requests" not in shown(latency={"p50_ms": None, "p99_ms": None})


def test_a_daemon_that_cannot_deliver_says_why() -> None:
    assert "not ready: store away" in shown(health={"ready": False, "reason": "store away"})
    assert "in doubt: asked again" in shown(sink={"url": "chdb:", "state": "in doubt", "text": "asked again"})


def test_options_that_do_not_follow_a_cutover_are_said() -> None:
    text = "store.url still names postgresql://db:5432/x: set store.url to chdb:"
    assert text in shown(sink={"url": "chdb:", "state": "ok", "text": "", "warning": text})


def test_refusals_stand_in_order_and_only_those_that_happened() -> None:
    block = shown().partition("refusals")[2]
    assert block.index("bad_json") < block.index("timeout")
    assert "method" not in shown()
    assert "none" in shown(refusals={})


def test_what_is_missing_is_left_out() -> None:
    text = "\n".join(lines({}, Style(False)))
    assert "nothing waits to be stored" in text
    assert "requests/s" not in text
    assert "no database" in text


def test_what_waits_in_a_ring_is_said_when_the_flusher_does_not_know_of_it() -> None:
    ring = {**STATUS["rings"][0], "used": 4096}
    text = shown(oldest_pending_s=None, rings=[ring])
    assert "4 KiB wait in the rings" in text or "4.0 KiB wait in the rings" in text
    assert "nothing waits" not in text


def test_a_ring_says_what_is_not_synced_and_that_it_was_given_up() -> None:
    ring = {**STATUS["rings"][0], "head": 3 * 1024, "synced": 1024}
    assert "2 KiB not synced yet" in shown(rings=[ring]) or "2.0 KiB not synced yet" in shown(rings=[ring])
    assert "synced" not in shown(rings=[{**ring, "synced": 0}])
    assert "synced" not in shown(rings=[{**ring, "synced": 3 * 1024}])
    assert "the disk refused a sync" in shown(rings=[{**ring, "failed": True}])


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("12,340 event ids remembered, 3 m 10 s back; 2 repeats left out", {}),
        ("spool       empty; 2 GiB of 4 GiB can be used", {}),
        ("spool       none: its limit is 0", {"spool": {"segments": 0, "limit": 0, "free": 0}}),
        (
            "spool       3 batches, 1 MiB of 4 GiB; the oldest is 50 s old",
            {"spool": {"segments": 3, "bytes": 2**20, "limit": 2**32, "free": 0, "oldest_s": 50.0, "text": ""}},
        ),
        ("            no\ufffdroom", {"spool": {"segments": 0, "limit": 2**32, "text": "no\x1broom"}}),
        ("buffer      room for 2 GiB in rings and spool; nothing comes in", {}),
        (
            "rings and spool full in 12 m 30 s at the present rate if the store takes nothing",
            {"buffer": {"room": 1, "bytes_s": 1.0, "full_in_s": 750.0}},
        ),
        ("rings and spool are full", {"buffer": {"room": 0, "bytes_s": 0.0, "full_in_s": 0.0}}),
        ("disk        64 GiB of 128 GiB free", {}),
        ("            rings 64 MiB, spool 0 B, store 1 GiB", {}),
        ("128 GiB free; disk full in 41 d 0 h as", {"disk": {**STATUS["disk"], "days_to_full": 41.0}}),
        ("quarantine  2 files, 5 rows", {"quarantine": {"files": 2, "rows": 5}}),
    ],
)
def test_what_waits_and_for_how_much_there_is_room_is_shown(text: str, changes: dict[str, Any]) -> None:
    assert text in shown(**changes)


@pytest.mark.parametrize(("left", "colour"), [(599.0, "31"), (3599.0, "33"), (3601.0, "")])
def test_little_time_is_red(left: float, colour: str) -> None:
    buffer = {"room": 1, "bytes_s": 1.0, "full_in_s": left}
    (line,) = [one for one in lines({"buffer": buffer}, Style(True)) if "full in" in one]
    assert (f"\x1b[{colour}mrings" in line) if colour else ("m\x1b" not in line and line.endswith("nothing"))


def test_a_server_s_disk_and_nothing_in_quarantine_are_not_shown() -> None:
    assert "store" not in shown(disk={**STATUS["disk"], "store": None}).partition("disk ")[2].splitlines()[1]
    assert "quarantine" not in shown()


def test_an_unknown_geo_date_is_left_out() -> None:
    assert geo_text({"database": "x.mmdb", "type": "", "built": 0}) == "x.mmdb"


def test_once_is_once(capsys: pytest.CaptureFixture[str]) -> None:
    cli_status.show(lambda: STATUS, as_json=True, watch=False)
    assert json.loads(capsys.readouterr().out) == STATUS


def test_watching_goes_on_until_it_is_stopped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("trackflowd.cli_status.time.sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        cli_status.show(lambda: STATUS, as_json=True, watch=True)
    assert len(capsys.readouterr().out.splitlines()) == 3
    waits.clear()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with pytest.raises(KeyboardInterrupt):
        cli_status.show(lambda: STATUS, as_json=False, watch=True)
    out = capsys.readouterr().out
    assert (out.count("\x1b[2J"), out.count("\x1b[H")) == (1, 3)


def test_certificates_are_named_with_their_end() -> None:
    one = {"file": "/c.pem", "names": ["a.example", "*.a.example\x1b"], "ends_ms": 1_795_000_000_000}
    text = shown(tls=[one, {"file": "/d.pem", "names": [], "ends_ms": 1_795_000_000_000}])
    assert "a.example *.a.example" in text and "good until 2026-11-18" in text and "/d.pem, good until" in text
    assert "\x1b" not in text
