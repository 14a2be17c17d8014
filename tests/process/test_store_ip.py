"""``store_ip``: the address of the client is stored for a site that wants it, and of another's nowhere."""

from __future__ import annotations

from pathlib import Path

from tests.process.harness import Daemon
from tests.process.test_no_address import ANOTHER_V4, V4, V6, needles

ON, OFF = "on.example", "off.example"


def send(daemon: Daemon, site: str, address: str) -> None:
    event = {"site": site, "name": "pageview", "url": f"https://{site}/"}
    assert daemon.post(event, X_Forwarded_For=f"198.51.100.9, {address}")[0] == 200


def test_only_the_events_of_a_site_that_wants_it_have_an_address(tmp_path: Path) -> None:
    with Daemon(tmp_path, "http.trusted_proxies=127.0.0.0/8", "daemon.workers=1") as daemon:
        daemon.call("site_add", site=ON, settings={"store_ip": True})
        snapshot = daemon.status()["sites"]["snapshot"]
        daemon.await_status(
            lambda status: [one.get("snapshot") for one in status["processes"] if one["role"] == "worker"] == [snapshot]
        )
        send(daemon, ON, V4)
        send(daemon, ON, V6)
        send(daemon, OFF, ANOTHER_V4)
        daemon.flush()
        rows = daemon.rows("SELECT site, ip FROM events ORDER BY site, ip")
        assert [(row["site"], row["ip"]) for row in rows] == [(OFF, ""), (ON, V6), (ON, V4)]
        assert daemon.stop() == 0
        kept = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert V4.encode() in b"".join(raw for name, raw in kept.items() if name.endswith(".ring")), "the ring has it"
    for needle in needles(ANOTHER_V4):
        assert not [name for name, raw in kept.items() if needle in raw], needle
