"""A worker and a flusher of thirty lines, for tests of the supervisor.

They keep the shared page and the channel as the real ones do, and do as they are told: the worker
answers each connection with its pid; a query's text is an order to the flusher.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from tests.fake_replay import Replay
from trackflowd import proc
from trackflowd.proto.control import Decoder, encode
from trackflowd.shared import Page, Slot, State

#: What the flusher says of itself.
SAID = {"sink": {"text": "as told"}, "spool": {"text": "no room, as told"}}


class Child:
    """What both have in common."""

    def __init__(self, role: str, args: dict[str, str]) -> None:
        self.channel = socket.socket(fileno=int(args["channel"]))
        proc.become(f"trackflowd: fake {role}", self.channel.fileno())
        with os.fdopen(int(args["config-json"])) as file:
            cfg = json.load(file)
        self.replay = Replay(Path(cfg.get("daemon", {}).get("data_dir", "")))
        self.waiting: list[dict[str, Any]] = []
        self.page = Page.attach(int(args["page"]))
        self.index = int(args.get("slot", 0))
        self.slot: Slot = self.page.slot("worker" if role == "worker" else "flusher", self.index)
        self.listeners = [socket.socket(fileno=int(fd)) for fd in args.get("listen", "").split(",") if fd]
        self.decoder = Decoder()
        self.role = role
        self.tail = False
        self.draining = self.retiring = False
        self.reloads, self.cfg = 0, cfg

    def say(self, **message: Any) -> None:
        self.channel.settimeout(30)
        self.channel.sendall(encode(message))
        self.channel.settimeout(0.01)

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self.drain)
        self.slot.begin()
        if self.role == "flusher":
            self.slot.set("sink_state", 1)
        self.slot.state = State.READY
        self.say(type="ready")
        while not self.draining and not (self.retiring and self.index not in self.owners()):
            self.slot.beat()
            try:
                raw = self.channel.recv(65536)
            except TimeoutError:
                raw = b""
            for message in self.decoder.feed(raw):
                self.called(message)
            self.serve()
        self.slot.state = State.DRAINED
        self.say(type="drained")

    def drain(self, *_: object) -> None:
        self.slot.state = State.DRAINING
        self.draining = True

    def owners(self) -> set[int | None]:
        return {self.page.owners[number] for number in range(len(self.page.owners))}

    def serve(self) -> None:
        if self.waiting and not self.replay.holds(self.waiting[0]["args"]["batch"]):
            self.do_batch(self.waiting.pop(0))
        for number, listener in enumerate(self.listeners):
            if self.page.owners[number] != self.index:
                continue
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                continue
            with connection:
                connection.sendall(str(os.getpid()).encode())
            self.slot.add("requests")
            if self.tail:
                self.say(type="event", rows=[{"site": "s", "name": "pageview", "slot": self.index}])

    def called(self, message: dict[str, Any]) -> None:
        name, args = message["name"], message["args"]
        if name == "drain":
            self.drain()
        elif name == "tail":
            self.tail = args["on"]
        elif name == "retire":
            self.retiring = args["on"]
            self.slot.state = State.DRAINING if self.retiring else State.READY
        elif name in ("reload", "reloads", "retry_after", "lookup"):
            self.say(type="reply", id=message["id"], ok=True, value=self.asked(name, args))
        elif name == "query":
            self.ordered(message["id"], args["sql"])
        elif name == "status":
            self.say(type="reply", id=message["id"], ok=True, value=SAID)
        elif name == "replay_plan":
            self.say(type="reply", id=message["id"], ok=True, value=self.replay.plan())
        elif name == "replay_batch":
            self.replay.note(args["batch"])
            self.waiting.append(message)
        elif name == "quarantine_retry":
            count = len(args["names"])
            value = {"retried": count, "rows": count, "skipped": [f"call of {count}"]}
            self.say(type="reply", id=message["id"], ok=True, value=value)
        elif name.startswith("erase_"):
            nothing = {"months": {}, "batches": [], "files": [], "unread": 2}
            self.say(type="reply", id=message["id"], ok=True, value=nothing if name == "erase_plan" else 0)
        elif name in ("events", "event_correct", "stats", "flush", "spool_drop", "quarantine_drop"):
            self.say(type="reply", id=message["id"], ok=True, value=args)
        else:
            error = {"code": "unknown_command", "text": name, "hint": ""}
            self.say(type="reply", id=message["id"], ok=False, error=error)

    def asked(self, name: str, args: dict[str, Any]) -> Any:
        if name == "reload":
            self.reloads, self.cfg = self.reloads + 1, json.loads(args["config"])
        elif name == "lookup":
            place = {"country": "GB", "region": "", "city": "", "asn": 0}
            return {**place, "database": "/as/told.mmdb", "built": int(time.time()) - 10 * 86_400}
        return self.reloads if name == "reloads" else self.cfg["http"]["retry_after"]

    def do_batch(self, message: dict[str, Any]) -> None:
        value = self.replay.batch(**message["args"])
        if "error" in value:
            code, text = value["error"]
            self.say(type="reply", id=message["id"], ok=False, error={"code": code, "text": text, "hint": ""})
        else:
            self.say(type="reply", id=message["id"], ok=True, value=value)

    def ordered(self, number: int, order: str) -> None:
        word, _, rest = order.partition(" ")
        if word == "hang":
            time.sleep(600)
        elif word == "crash":
            os._exit(9)
        elif word == "garbage":
            self.channel.sendall(b"\xff" * 64)
        elif word == "store":
            self.slot.set("sink_state", int(rest))
        elif word == "refuse":
            error = {"code": "query", "text": "no", "hint": "ask otherwise"}
            self.say(type="reply", id=number, ok=False, error=error)
            return
        self.say(type="reply", id=number, ok=True, value=b"x" * int(rest) if word == "big" else rest.encode())


if __name__ == "__main__":
    words = sys.argv[2:]
    Child(sys.argv[1], {words[i].removeprefix("--"): words[i + 1] for i in range(0, len(words), 2)}).run()
