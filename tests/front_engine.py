"""What stands behind ``clickhouse_front``: chDB, the faults on order, the running queries and the log of inserts."""

from __future__ import annotations

import os
import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb

from tests import front_cluster

#: Parameters of the url that are the protocol's, not settings of the engine.
TRANSPORT = {
    "buffer_size", "client_protocol_version", "compress", "database", "decompress", "default_format",
    "enable_http_compression", "http_headers_progress_interval_ms", "query", "query_id", "quota_key", "role",
    "send_progress_in_http_headers", "session_check", "session_id", "session_timeout", "wait_end_of_query",
}  # fmt: skip


@dataclass
class Fault:
    """What happens to the next statements that begin with ``match``.

    Kinds: ``status`` (answer ``status``, with exception ``code`` unless 0), ``text`` (200 with an exception's text),
    ``cut`` (reset after ``size`` bytes of the body), ``lost`` (run, then reset instead of an answer), ``down`` (the
    same, and the port is closed from then on), ``half`` (store
    half of the rows, then reset), ``poison`` (note the token, keep no row, then reset), ``late`` (reset now, run when
    released, unless killed), ``hang`` (hold until released or killed, then run and answer), ``slow`` (read ``size``
    bytes a second).
    """

    kind: str
    match: str = "INSERT"
    times: int = 1
    status: int = 500
    code: int = 0
    size: int = 0


@dataclass
class Running:
    """A query the front holds or runs."""

    killed: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)


class Failure(Exception):
    """An exception as the engine words it."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        found = re.search(r"Code: (\d+)", text)
        self.code = code or (int(found[1]) if found else 1002)


class Cut(Exception):
    """The connection is to be reset."""


class Front:
    """State shared by all requests."""

    def __init__(self, data: str, version: str, password: str) -> None:
        self.uri = f"{data}?logger.console=0&max_server_memory_usage={2**30}"
        self.keep = chdb.connect(self.uri)  # keeps the engine up between requests
        self.version = version
        self.password = password
        self.faults: list[Fault] = []
        self.log: list[dict[str, Any]] = []
        self.running: dict[str, Running] = {}
        self.lock = threading.Lock()
        self.release = threading.Event()
        self.refuse: Callable[[], None] = lambda: None  # closes the port that clients see

    def fault_for(self, statement: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if statement.upper().startswith(fault.match.upper()):
                    fault.times -= 1
                    if not fault.times:
                        self.faults.remove(fault)
                    return fault
        return None

    def start(self, query_id: str) -> Running:
        with self.lock:
            if query_id in self.running:
                raise Failure(f"Code: 216. DB::Exception: Query with id = {query_id} is already running.")
            running = self.running[query_id] = Running()
        return running

    def end(self, query_id: str) -> None:
        with self.lock:
            self.running.pop(query_id).gone.set()

    def kill(self, statement: str) -> bytes:
        found = re.search(r"startsWith\(query_id, '([^']*)'\)", statement)
        if found is None:
            raise Failure("Code: 48. DB::Exception: this front kills by startsWith(query_id, …) only")
        with self.lock:
            doomed = {name: each for name, each in self.running.items() if name.startswith(found[1])}
        for name, each in doomed.items():
            each.killed.set()
            self.engine(f"KILL QUERY WHERE query LIKE '/* {name} */%' SYNC", {}, {}, "")
        for each in doomed.values():
            each.gone.wait(10)
        return b"".join(f"finished\t{name}\tdefault\t\n".encode() for name in doomed)

    def hold(self, running: Running) -> None:
        """Wait until released or killed."""
        while not self.release.wait(0.02):
            if running.killed.is_set():
                break
        if running.killed.is_set():
            raise Failure("Code: 394. DB::Exception: Query was cancelled. (QUERY_WAS_CANCELLED)")

    def engine(self, sql: str, settings: dict[str, str], params: dict[str, str], database: str) -> bytes:
        """Run one statement on a handle of its own."""
        try:
            handle = chdb.connect(self.uri)
            try:
                if database:
                    handle.query(f"USE `{database}`", "TabSeparated")
                for name, value in sorted(settings.items(), key=lambda each: each[0] == "readonly"):
                    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
                    handle.query(f"SET {name} = '{quoted}'", "TabSeparated")
                result: bytes = handle.query(sql, "TabSeparated", params=params).bytes() or b""
                return result
            finally:
                handle.close()
        except RuntimeError as error:
            text = str(error)
            raise Failure(text[max(text.find("Code: "), 0) :]) from None

    def alone(self, sql: str) -> str:
        """A cluster's statement, once the engine has parsed it, as one server without a cluster runs it."""
        form = front_cluster.alone(sql)
        if form != sql:
            quoted = sql.replace("\\", "\\\\").replace("'", "\\'")
            self.engine(f"SELECT formatQuery('{quoted}')", {}, {}, "")
        return form

    def insert(self, sql: str, body: bytes, request: Request, fault: Fault | None) -> None:
        """Run an INSERT … FORMAT whose rows are in body."""
        file = os.memfd_create("body")
        try:
            with open(file, "wb", closefd=False) as out:
                out.write(body)
            head, _, fmt = sql.rpartition(" FORMAT ")
            source = f"/proc/self/fd/{file}"
            counted = self.engine(
                f"SELECT uniqExact(blockNumber()), count() FROM file('{source}', {fmt})", {"max_threads": "1"}, {}, ""
            )
            blocks, rows = map(int, counted.split())
            self.log.append(
                {"query": sql, "format": fmt, "blocks": blocks, "rows": rows, "bytes": len(body)}
                | {"settings": request.settings, "transport": request.transport, "chunked": request.chunked}
            )
            if fault is not None and fault.kind == "half":
                statement = f"{head} SELECT * FROM file('{source}', {fmt}) LIMIT {rows // 2}"
            else:
                statement = f"{head} FROM INFILE '{source}' FORMAT {fmt}"
            self.engine(f"/* {request.query_id} */ {statement}", request.settings, {}, request.database)
            if fault is not None and fault.kind == "poison":
                batch = self.engine(f"SELECT any(_batch) FROM file('{source}', {fmt})", {}, {}, "").decode().strip()
                delete = f"ALTER TABLE events DELETE WHERE _batch = toUInt128('{batch}')"
                self.engine(delete, {"mutations_sync": "2"}, {}, request.database)
        finally:
            os.close(file)


class Request:
    """What a url and headers ask."""

    def __init__(self, target: str, chunked: bool, reading: bool) -> None:
        given = dict(parse_qsl(urlsplit(target).query, keep_blank_values=True))
        self.query = given.get("query", "")
        self.query_id = given.get("query_id") or str(uuid.uuid4())
        self.database = given.get("database", "")
        self.chunked = chunked
        self.transport = {name: value for name, value in given.items() if name in TRANSPORT and name != "query"}
        self.params = {name[6:]: value for name, value in given.items() if name.startswith("param_")}
        self.settings = {
            name: value for name, value in given.items() if name not in TRANSPORT and not name.startswith("param_")
        }
        if reading:
            self.settings.setdefault("readonly", "2")  # as a server does for GET
