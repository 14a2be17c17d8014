"""All checks over a daemon, or over what a start would meet: puts facts and verdicts together."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from trackflowd.doctor import checks, facts
from trackflowd.doctor.checks import Check
from trackflowd.endpoint import UNIX, read_endpoint

#: A version in what a store says of itself, "PostgreSQL 15.18 on x86_64…".
_NUMBER = re.compile(r"\d+(?:\.\d+)+")


@dataclass(frozen=True, slots=True)
class Running:
    """A daemon that answers.

    Args:
        status: its own.
        store_version: what its store answered; "": it could not be asked.
    """

    status: Mapping[str, Any]
    store_version: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined.

    Args:
        options: in effect, by key (``ring.size``); of a running daemon without passwords.
        file: where they were read from; None: no file.
        running: None: none answers.
        wrong: what is wrong with the options; "": nothing.
    """

    options: Mapping[str, Any]
    file: Path | None
    running: Running | None
    wrong: str = ""


def examine(subject: Subject, timeout_s: float) -> list[Check]:
    """Every check; timeout_s: seconds a store may take to answer."""
    return [
        *_daemon(subject),
        *_files(subject),
        *_kernel(subject),
        *_disk(subject),
        *_ports(subject),
        *_store(subject, timeout_s),
        _geo(subject),
        *_software(subject),
    ]


def _daemon(subject: Subject) -> list[Check]:
    if subject.running is None:
        return [checks.daemon("", False, "")]
    health = subject.running.status["health"]
    return [checks.daemon(subject.running.status["version"], health["ready"], health["reason"])]


def _files(subject: Subject) -> list[Check]:
    options = subject.options
    if subject.wrong:
        config = checks.config_wrong(subject.wrong)
    else:
        file = facts.path(subject.file, os.R_OK) if subject.file else None
        config = checks.config_file(file, _has_password(file))
    data = facts.path(Path(options["daemon.data_dir"]), os.R_OK | os.W_OK | os.X_OK)
    socket = facts.path(Path(options["control.socket"]), os.R_OK | os.W_OK)
    return [
        config,
        checks.data_dir(data, os.geteuid(), subject.running is not None),
        checks.control_socket(socket, subject.running is not None),
    ]


def _has_password(file: checks.Path | None) -> bool:
    """Whether a configuration file holds the password of a store."""
    if file is None or file.mode is None or not file.usable:
        return False
    text = Path(file.path).read_text(errors="replace")
    return bool(re.search(r"^\s*url\s*=\s*[\"'][a-z]+://[^/@\"']*:[^/@\"']+@", text, re.MULTILINE))


def _kernel(subject: Subject) -> list[Check]:
    options, running = subject.options, subject.running
    processes = running.status["processes"] if running else ()
    worker = next((one["pid"] for one in processes if one["role"] == "worker"), None)
    whose = "a worker" if worker else "a process started from here"
    rings = options["ring.size"] * options["daemon.workers"]
    engine = options["store.memory"] if options["store.url"].startswith("chdb:") else 0
    return [
        checks.backlog(facts.sysctl("net/core/somaxconn"), options["http.backlog"]),
        checks.migrate_req(facts.sysctl("net/ipv4/tcp_migrate_req")),
        checks.files(facts.open_files(worker), options["http.max_connections"], whose),
        checks.memory(psutil.virtual_memory().total, rings, engine, facts.sysctl("vm/overcommit_memory")),
    ]


def _disk(subject: Subject) -> list[Check]:
    options = subject.options
    data_dir = Path(options["daemon.data_dir"])
    rings = 0 if subject.running else options["ring.size"] * options["daemon.workers"]
    try:
        there = sum(path.stat().st_size for path in (data_dir / "rings").glob("*.ring"))
    except OSError:
        there = 0
    disk = facts.disk(data_dir, max(rings - there, 0))
    return [
        checks.space(disk),
        checks.filesystem(disk, options["ring.durability"] == "disk"),
        checks.clock(facts.clock(data_dir)),
        checks.zones(facts.zones()),
    ]


def _ports(subject: Subject) -> list[Check]:
    options, running = subject.options, subject.running
    wanted = [("http.listen", read_endpoint(text).address) for text in options["http.listen"]]
    if options["admin.listen"]:
        wanted.append(("admin.listen", options["admin.listen"]))
    if running is not None:
        held = running.status["listen"]
        have = [("http.listen", address) for address in held["http"]]
        have += [("admin.listen", held["admin"])] if held["admin"] else []
        return [checks.port(option, address, True, "", "") for option, address in have]
    seen = [(option, address, *_listens(address)) for option, address in wanted]
    return [
        checks.port(option, address, False, error, hint, facts.holder(address) if error else None)
        for option, address, error, hint in seen
    ]


def _listens(address: str) -> tuple[str, str]:
    if address.startswith(UNIX):
        return facts.listens_at_path(address.removeprefix(UNIX))
    return facts.listens(address)


def _store(subject: Subject, timeout_s: float) -> list[Check]:
    from trackflowd.sink import probe  # not above: every command would wait for the stores' drivers

    url, running = str(subject.options["store.url"]), subject.running
    least = probe.least(url)
    if running is not None:
        # Its url is without the password here, and an embedded store is its flusher's alone.
        sink = running.status["sink"]
        error = "" if sink["state"] in ("ok", "starting") else f"{sink['state']}: {sink['text']}"
        found = _NUMBER.search(running.store_version)
        return [checks.store(checks.Store(sink["url"], found[0] if found else "", least, error))]
    asked = probe.ask(url, timeout_s, bool(subject.options["store.cluster"]))
    return [checks.store(checks.Store(one.url, one.version, least, one.error, one.hint)) for one in asked]


def _geo(subject: Subject) -> Check:
    used = subject.running.status.get("geo") if subject.running else None
    if used and isinstance(used.get("built"), int) and used["built"]:  # the directory need not be ours to read
        days = (time.time() - used["built"]) / 86_400
        return checks.geo([checks.Geo(str(used.get("database")), str(used.get("type") or "database"), days)], "")
    named = subject.options["geo.database"]
    where = Path(named) if named else Path(subject.options["daemon.data_dir"]) / "geo"
    try:
        found = facts.databases(where)
    except OSError as error:
        found = [] if subject.running else [checks.Geo(str(where), "", 0.0, f"{where}: {error.strerror}")]
    return checks.geo(found, str(where))


def _software(subject: Subject) -> list[Check]:
    url = str(subject.options["store.url"])
    kinds = {"chdb": "embedded", "postgresql": "postgres", "postgres": "postgres"}
    extras = [extra for scheme, extra in kinds.items() if url.startswith(f"{scheme}:")]
    wanted = facts.required(extras)
    return [
        checks.python(sys.version_info[:2]),
        checks.libraries(wanted, facts.installed(list(wanted))),
    ]
