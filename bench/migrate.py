"""A move from PostgreSQL to ClickHouse or chDB under traffic, its mover killed repeatedly: time taken, what is lost.

``python -m bench migrate --postgres URL`` fills an empty database with made events, starts a daemon on it, sends events
at a rate, has them moved with a cutover, kills the mover as often as asked for, and then judges: every event that was
answered is in the new store once and as it was sent, and the old ones are all there. The exit code is 0 if so.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil

from bench.environment import describe
from bench.faults import dialect, oracle
from bench.faults.client import Client
from bench.faults.daemon import Daemon, DaemonFailed
from bench.faults.events import Events
from bench.faults.oracle import Findings, Oracle
from bench.faults.traffic import Plan
from trackflowd.batch import new_batch_id
from trackflowd.event import FIELDS, Field
from trackflowd.sink.base import Batch, SinkOptions, open_sink

SITE = "old.migrate.example"
#: Rows of a batch of old events, and distinct values of a text in them.
AT_ONCE, DISTINCT = 20_000, 500
#: Old events are of the last so many days.
DAYS = 60
_LOOK = 0.1
_DAY_MS = 86_400_000
#: Seconds all that was sent has to be answered within, and stored.
SETTLE = 120.0
SETS = {"ring.size": "32MiB", "batch.max_rows": "20000", "batch.max_age": "1", "store.timeout": "20"}


def fill(url: str, directory: Path, events: int, seed: int) -> float:
    """Put old events into a store; seconds that took."""
    sink = open_sink(url, SinkOptions(directory))
    sink.open()
    began, now = time.monotonic(), time.time_ns() // 1_000_000
    draws = random.Random(seed)
    for first in range(0, events, AT_ONCE):
        rows = min(AT_ONCE, events - first)
        start = now - DAYS * _DAY_MS + first * DAYS * _DAY_MS // events
        month = int(time.strftime("%Y%m", time.gmtime(start / 1000)))
        batch_id = new_batch_id(start)
        columns = {field.name: _column(field, rows, draws) for field in FIELDS}
        columns |= {"site": [SITE] * rows, "received": [start] * rows, "_batch": (batch_id,) * rows}
        sink.insert(Batch(batch_id, 1, month, rows, columns))
    sink.close()
    return time.monotonic() - began


def _column(field: Field, rows: int, draws: random.Random) -> Sequence[Any]:
    if field.kind == "uuid":
        return [draws.randbytes(16) for _ in range(rows)]
    if field.kind == "map":
        return [{"n": str(draws.randrange(DISTINCT)), "plan": "a"} for _ in range(rows)]
    if field.kind == "text":
        pool = [f"{field.name}-{n}"[: field.bound] for n in range(DISTINCT)]
        return draws.choices(pool, k=rows)
    most = field.bound if 0 < field.bound < 2**63 else 2**40
    return [draws.randrange(min(most, 2**31)) for _ in range(rows)]


class Move:
    """One move, watched and disturbed.

    Args:
        daemon: that has it.
        target: url to move to.
        kills: of the mover.
        rows: old events, for the places of the kills.
    """

    def __init__(self, daemon: Daemon, target: str, kills: int, rows: int) -> None:
        self._daemon = daemon
        self._number: int = daemon.call("migrate", target=target, cutover=True)["id"]
        # Spread over copy and verify, as rows walked over in both.
        self._due = [2 * rows * (n + 1) // (kills + 1) for n in range(kills)]
        self._rows = rows
        self.killed: list[str] = []

    def run(self, client: Client) -> Mapping[str, Any]:
        """Until it has ended; the task. Raises DaemonFailed."""
        while True:
            client.check()
            task: dict[str, Any] = self._daemon.call("task", id=self._number)
            if task["state"] not in ("pending", "running"):
                return task
            phase = (task["checkpoint"] or {}).get("phase", "copy")
            walked = task["progress"]["done"] + (0 if phase == "copy" else self._rows)
            if self._due and (walked >= self._due[0] or phase in ("cutover", "over")) and self._kill_mover():
                self.killed.append(phase)
                del self._due[0]
            time.sleep(_LOOK)

    def _kill_mover(self) -> bool:
        for child in psutil.Process(self._daemon.pid).children():
            with suppress(psutil.Error):  # it may end, or have ended and not been waited for
                if "trackflowd: mover" in " ".join(child.cmdline()):
                    child.kill()
                    return True
        return False


def measure(options: argparse.Namespace, work: Path, say: Any) -> dict[str, Any]:
    """Carry it out; what came of it, as JSON has it."""
    took = fill(options.postgres, work, options.events, options.seed)
    say(f"filled with {options.events:,} events in {took:.0f} s")
    events = Events(options.seed, f"m{secrets.token_hex(4)}")
    with ExitStack() as stack:
        daemon = Daemon(
            "", work / "data", work / "daemon.log", {**SETS, "store.url": options.postgres}, options.workers
        )
        stack.callback(daemon.kill)
        daemon.launch()
        daemon.await_ready()
        acks = work / "acks.txt"
        plan = Plan("127.0.0.1", daemon.port, options.seed, events.run, options.connections, options.rate, str(acks))
        client = Client(plan, work / "traffic.log")
        stack.callback(client.kill)
        move = Move(daemon, options.to, options.kills, options.events)
        task = move.run(client)
        say(f"the move is {task['state']}; mover killed in {', '.join(move.killed) or 'no phase'}")
        time.sleep(2.0)  # some events go straight to the new store
        client.order("pause")
        settled = client.await_idle(SETTLE)
        client.end()
        daemon.call("flush", SETTLE + 5, wait=SETTLE)
        findings = judged(daemon, events, client.tally.next, acks, work, options.to)
        old = oracle.number(daemon.query(f"SELECT count() AS n FROM events WHERE site = '{SITE}'"))
        daemon.drain()
    return {
        "events": options.events, "rate": options.rate, "kills": move.killed, "state": task["state"],
        "error": task["error"], "result": task["result"], "filled_s": round(took, 1), "settled": settled,
        "old_events_there": old, "refused": client.tally.full,
        "findings": {name: getattr(findings, name) for name in
                     ("sent", "acked", "stored", "lost", "doubled", "altered", "unknown")},
        "environment": describe(),
    }  # fmt: skip


def judged(daemon: Daemon, events: Events, sent: int, acks: Path, work: Path, to: str) -> Findings:
    """What was answered, held against the store."""
    judge = Oracle(events, sent, work / "failures.txt")
    judge.take_acks(acks)
    judge.take_rows(oracle.rows(daemon.query, events, dialect.of(to)))
    return judge.judge()


def kept(found: Mapping[str, Any]) -> bool:
    """Whether nothing was lost, doubled or altered, and the move was done."""
    wrong = sum(found["findings"][name] for name in ("lost", "doubled", "altered", "unknown"))
    done = found["state"] == "done" and found["result"]["equal"] and found["settled"]
    return bool(done and not wrong and found["old_events_there"] == found["events"])


def lines(found: Mapping[str, Any]) -> list[str]:
    """For people."""
    findings, result = found["findings"], found["result"]
    if result is None:
        return [f"the move {found['state']}: {(found['error'] or {}).get('text', '')}"]
    return [
        f"old events      {found['old_events_there']:,} of {found['events']:,} in the new store",
        f"meanwhile       {findings['acked']:,} acked, {findings['stored']:,} stored: "
        f"{findings['lost']} lost, {findings['doubled']} doubled, {findings['altered']} altered",
        f"mover           {result['movers']} processes; killed in {', '.join(found['kills']) or 'no phase'}",
        f"took            {result['seconds']:.0f} s, {result['rows'] / result['seconds']:,.0f} events a second",
        f"held back       {result['held_ms']} ms",
        f"on disk         {result['source_bytes'] / 2**20:,.0f} MiB, then {result['target_bytes'] / 2**20:,.0f} MiB",
        "kept" if kept(found) else "NOT KEPT",
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of the noun."""
    parser = argparse.ArgumentParser(prog="bench migrate", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--postgres", required=True, metavar="URL", help="an empty database to fill and to move from")
    parser.add_argument("--to", default="chdb:", metavar="URL", help="where to move to (chdb:)")
    parser.add_argument("--events", type=int, default=2_000_000, help="old events (2,000,000)")
    parser.add_argument("--rate", type=float, default=2000.0, help="events a second meanwhile (2,000)")
    parser.add_argument("--kills", type=int, default=5, help="of the mover (5)")
    parser.add_argument("--workers", type=int, default=1, help="of the daemon (1)")
    parser.add_argument("--connections", type=int, default=16, help="of the traffic (16)")
    parser.add_argument("--seed", type=int, default=1, help="of old events, traffic and kills (1)")
    parser.add_argument("--keep", metavar="DIR", help="keep everything there; it must not exist")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(argv)
    with ExitStack() as stack:
        if options.keep:
            work = Path(options.keep)
            work.mkdir()
        else:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tfmove")))
        try:
            found = measure(options, work, lambda text: print(text, file=sys.stderr))
        except DaemonFailed as error:
            print(f"bench migrate: {error}", file=sys.stderr)
            return 1
    print(json.dumps(found, indent=2) if options.json else "\n".join(lines(found)))
    return 0 if kept(found) else 1
