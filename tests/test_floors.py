"""The shape of the code: floors, doors, homes of libraries, sizes, a test file per module.

The floors are data. A module imports from its own floor or from one below it, never from above; a
module that is on no floor fails here, so a new one has to be placed. docs/architecture.md draws them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "trackflowd"

#: From the ground up: name of the floor, patterns of the modules on it (without "trackflowd.").
FLOORS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ground", ("", "errors", "log")),
    (
        "words",
        (
            "event",
            "endpoint",
            "option",
            "site",
            "tlssection",
            "sections",
            "config",
            "config_text",
            "counters",
            "histogram",
        ),
    ),
    (
        "pure",
        (
            "proto",
            "proto.*",
            "enrich",
            "enrich.*",
            "ring",
            "ring.layout",
            "ring.reader",
            "ring.writer",
            "policy",
            "admins",
            "limits",
            "selection",
            "fleet",
            "verify",
            "verify.page",
            "verify.csp",
        ),
    ),
    (
        "edges",
        (
            "ring.*",
            "proc",
            "shared",
            "buckets",
            "state",
            *("ledger", "refusalbook"),
            "tasks",
            "tombstones",
            "bearer",
            "tokens",
            "keys",
            "registry",
            "transfer",
            "datadir",
            "sink",
            "sink.*",
            "stats",
            "stats.*",
            "events",
            "client",
            "loop",
            "geofetch",
            "geoupdate",
            "deadlines",
            "certificates",
            "verify.*",
            "doctor",
            "doctor.*",
            "backup",
            "stack",
            "stack.*",
        ),
    ),
    (
        "processes",
        (
            "worker",
            "line",
            "entrances",
            "porch",
            "sealed",
            "redirect",
            "door",
            "hall",
            "deferred",
            "intake",
            "admission",
            "published",
            "trial",
            "keeper",
            "static",
            "flusher",
            "batch",
            "journal",
            "window",
            "cuts",
            "segment",
            "spool",
            "quarantine",
            "sources",
            "settle",
            "erasure",
            "blame",
            "openbatch",
            "sender",
            "confirm",
            "lander",
            "lander_cluster",
            "replayer",
            "shelf",
            "eraser",
            "archivist",
            "calls",
            "storestate",
            "feed",
            "feeds",
            "cutter",
            "cutover",
            "migrate",
            "migrate.*",
        ),
    ),
    (
        "offices",
        (
            *("children", "crew", "listeners", "unixsocket", "ringview", "statusview", "tail", "commands", "control"),
            *("admin", "admin_*", "openapi", "openapi_*"),
            *("budget", "snapshot"),
            *(
                "peer",
                "audit",
                "outlet",
                "logbook",
                "watch",
                "history",
                "machine",
                "reload",
                "sealing",
                *("drain", "notify", "unit", "mail", "activation"),
                "commands_operate",
            ),
            *("job", "taskrunner", "taskkinds", "task_replay", "task_migrate", "migration"),
            *(
                "retention",
                "task_erase",
                "task_retention",
                "task_restore",
                "commands_events",
                "commands_sites",
                "commands_tokens",
                "commands_backup",
            ),
            *("vitals", "latency", "alerts", "alertrules", "webhook", "metrics"),
        ),
    ),
    ("supervisor", ("supervisor",)),
    ("faces", ("cli", "cli_*", "control_text", "site_text", "console", "console.*")),
)

#: Who may never import what, whatever their floors.
SHUT: tuple[tuple[str, str], ...] = (
    ("worker*", "sink*"),
    ("flusher", "proto.http"),
    ("flusher", "proto.dialects"),
    ("flusher", "proto.native"),
    ("flusher", "proto.pixel"),
    ("console*", "supervisor*"),
    ("console*", "ring*"),
    ("stats*", "supervisor*"),
    ("stats*", "ring*"),
    ("sink*", "config"),
    ("sink*", "sections"),
    ("sink*", "ring*"),
    ("proto*", "log"),
)

#: Each library has one home.
HOMES: dict[str, tuple[str, ...]] = {
    "httptools": ("proto.http",),
    "uvloop": ("loop",),
    "maxminddb": ("enrich.geo",),
    "ua_parser": ("enrich.agent",),
    "clickhouse_connect": ("sink.*",),
    "chdb": ("sink.*",),
    "asyncpg": ("sink.pg_link",),
    "urwid": ("console.*",),
    "setproctitle": ("proc",),
    "sqlite3": ("state",),
    "docker": ("stack.engine",),
    "h11": ("admin_http",),
    "prometheus_client": ("metrics",),
}

#: What a module that only knows meaning may not touch.
NO_IO = ("asyncio", "socket", "mmap", "subprocess", "threading", "logging", "time")

#: …but for what has a reason.
ALLOWED_IO = {("proto.address", "socket")}  # inet_pton and inet_ntop: text to bytes and back, no socket

#: Modules without a test file of their own, and where they are tested.
TESTED_ELSEWHERE: dict[str, str] = {
    "proto.command_access": "rows of the table; tests/test_command_table.py",
    "proto.command_words": "what a row is; tests/test_command_table.py",
    "bearer": "what tokens and keys are made of; tests/test_tokens.py and tests/test_keys.py",
    "proto.headers": "tables; tests/test_http.py",
    "proto.request": "what proto.http returns; tests/test_http.py",
    "": "holds the version; tests/test_repository.py",
    "errors": "names only; every test that expects one",
    "hall": "what doors share; tests/test_door.py and tests/test_deferred.py",
    "feed": "a part of the flusher, driven by tests/test_flusher.py",
    "feeds": "a part of the flusher, driven by tests/test_flusher.py",
    "cutter": "a part of the flusher, driven by tests/test_flusher.py",
    "cuts": "words of the journal; tests/test_journal.py",
    "sink.ch_edit": "as every store's edits; tests/test_sink_edit.py",
    "sources": "a part of the lander; tests/test_lander.py",
    "taskkinds": "the registry; tests/test_taskrunner.py",
    "migrate.checksums": "computed by both stores and by hand in tests/test_migrate_mover.py",
    "migrate.source": "one of the mover's stores; tests/test_migrate_mover.py",
    "migrate.target": "the other; tests/test_migrate_mover.py",
    "verify.answers": "parts of verify.checks; tests/test_verify_checks.py",
    "stack.engine": "with a real one; tests/process/test_stack.py",
    "stack.crew": "with a real engine; tests/process/test_stack.py",
    "outlet": "types only; tests/test_control.py",
    "console.palette": "names and colours; tests/test_console_desk.py and tests/test_console_terminal.py",
    "console.plots": "tests/test_console_overview.py and tests/test_console_pipeline.py, at every size",
    "console.rolltab": "what Live and Log share; tests/test_console_live.py and tests/test_console_logs.py",
    "console.tab": "the base of every tab, driven by tests/test_console_desk.py",
    "sink.archive": "the store's part; tests/process/test_backup.py",
    "task_restore": "walks through both; tests/process/test_backup.py",
    "proto.certificate": "read for certificates; tests/test_certificates.py",
    "tlssection": "a part of sections; tests/test_config.py and tests/test_config_text.py",
    "line": "a worker's end of its channel; tests/test_worker_operate.py",
    "sections": "the table of options; tests/test_config.py and tests/test_config_text.py",
}

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def modules() -> dict[str, Path]:
    """Every module by its name without "trackflowd.", a package by its own name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found[".".join(parts)] = path
    return found


MODULES = modules()


def imports(name: str, *, at_start: bool = False) -> Iterator[str]:
    """Full names of what a module imports; for typing alone does not count.

    Args:
        at_start: only what is imported when the module is, not what a function or "python -m" imports later.
    """
    pending: list[ast.AST] = [ast.parse(MODULES[name].read_text())]
    while pending:
        node = pending.pop()
        test = ast.unparse(node.test) if isinstance(node, ast.If) else ""
        if "TYPE_CHECKING" in test or (at_start and "__main__" in test):
            continue
        if at_start and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        pending += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are written in full"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                inside = full.removeprefix("trackflowd.")
                yield full if inside in MODULES and full.startswith("trackflowd.") else str(node.module)


def ours(name: str, *, at_start: bool = False) -> set[str]:
    """What a module imports of this package, without "trackflowd."."""
    found = {full for full in imports(name, at_start=at_start) if full.split(".")[0] == "trackflowd"}
    return {full.removeprefix("trackflowd").removeprefix(".") for full in found}


def floor(name: str) -> int:
    """Number of a module's floor: the one that names it, or else the one whose pattern fits it."""
    for fits in (lambda pattern: pattern == name, lambda pattern: fnmatchcase(name, pattern)):
        for number, (_, patterns) in enumerate(FLOORS):
            if any(fits(pattern) for pattern in patterns):
                return number
    raise AssertionError(f"trackflowd.{name} is on no floor: place it in FLOORS")


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_from_its_own_floor_or_below(name: str) -> None:
    above = [other for other in sorted(ours(name)) if floor(other) > floor(name)]
    assert above == [], f"{name} is on the floor {FLOORS[floor(name)][0]!r}"


@pytest.mark.parametrize(("who", "what"), SHUT)
def test_a_shut_door_stays_shut(who: str, what: str) -> None:
    through = [
        (name, other)
        for name in MODULES
        if fnmatchcase(name, who)
        for other in sorted(ours(name))
        if fnmatchcase(other, what) and not fnmatchcase(other, who)
    ]
    assert through == []


def test_no_module_imports_another_in_a_ring() -> None:
    graph = {name: ours(name, at_start=True) - {""} for name in MODULES}
    while leaves := [name for name, others in graph.items() if not others & graph.keys() - {name}]:
        for name in leaves:
            del graph[name]
    assert graph == {}


@pytest.mark.parametrize("library", HOMES)
def test_a_library_has_one_home(library: str) -> None:
    users = [name for name in MODULES if any(full.split(".")[0] == library for full in imports(name))]
    assert [name for name in users if not any(fnmatchcase(name, home) for home in HOMES[library])] == []


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("proto.")])
def test_proto_has_meaning_and_no_io(name: str) -> None:
    used = {full.split(".")[0] for full in imports(name)} & set(NO_IO)
    assert [library for library in used if (name, library) not in ALLOWED_IO] == []


OTHERS = [path for top in ("tests", "bench", "tracker/python") for path in sorted((ROOT / top).rglob("*.py"))]


@pytest.mark.parametrize("path", [*MODULES.values(), *OTHERS], ids=str)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_FILE_LINES, path
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if ast.get_docstring(node):
                lines -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
            assert lines <= MAX_FUNCTION_LINES, f"{path}: {node.name} has {lines} lines"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_what_it_is_and_has_a_test_file(name: str) -> None:
    source = MODULES[name].read_text()
    assert ast.get_docstring(ast.parse(source)), f"{name} has no docstring"
    tests = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    own = {f"test_{name.replace('.', '_')}", f"test_{name.rpartition('.')[2]}"}
    package = MODULES[name].name == "__init__.py" and not ast.parse(source).body[1:]
    found = bool(own & tests) or package or name in TESTED_ELSEWHERE
    assert found, f"no tests/test_{name.replace('.', '_')}.py"


def test_the_lists_here_name_nothing_that_is_gone() -> None:
    assert [name for name in TESTED_ELSEWHERE if name not in MODULES] == []


def test_nobody_but_the_command_line_ends_the_process() -> None:
    def ends(node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and ast.unparse(node.func) in ("sys.exit", "exit", "quit")

    allowed = {
        "cli",
        "config",
        "worker",
        "flusher",
        "geoupdate",
        "migrate.mover",
    }  # the ones run as programs, in their last line
    users = {
        name for name, path in MODULES.items() if any(ends(node) for node in ast.walk(ast.parse(path.read_text())))
    }
    assert users - allowed == set()
