"""doctor.checks: what is made of facts; each check can fail."""

from __future__ import annotations

import pytest

from trackflowd.doctor import checks
from trackflowd.doctor.checks import FAIL, OK, WARN, Check, Clock, Disk, Geo, Path, Store

GIB = 2**30


def disk(kind: str = "ext4", *, reserves: bool | None = True, free: int = 50 * GIB, needed: int = 0) -> Disk:
    return Disk("/data", kind, 100 * GIB, free, reserves, needed)


VERDICTS: tuple[tuple[str, Check, str, str], ...] = (
    ("backlog that fits", checks.backlog(4096, 4096), OK, "4096"),
    ("backlog that is cut", checks.backlog(128, 4096), WARN, "128 connections"),
    ("backlog nobody knows", checks.backlog(None, 4096), OK, "does not tell"),
    ("migration", checks.migrate_req(0), OK, "not needed"),
    ("files enough", checks.files(20_000, 10_000, "a worker"), OK, "11,000"),
    ("files too few", checks.files(1024, 10_000, "a worker"), WARN, "1,024"),
    ("memory", checks.memory(8 * GIB, GIB, GIB, 0), OK, "8 GiB"),
    ("engine beyond memory", checks.memory(2 * GIB, GIB, 2 * GIB, 0), WARN, "store"),
    ("rings beyond memory", checks.memory(2 * GIB, 3 * GIB, 0, 0), FAIL, "rings"),
    ("strict overcommit", checks.memory(8 * GIB, GIB, GIB, 2), WARN, "overcommit"),
    ("space", checks.space(disk()), OK, "50 GiB of 100 GiB"),
    ("little space", checks.space(disk(free=3 * GIB)), WARN, "3 GiB"),
    ("no space", checks.space(disk(free=GIB // 8)), FAIL, "128 MiB"),
    ("no space once rings are made", checks.space(disk(free=GIB, needed=GIB)), FAIL, "rings will take"),
    ("ext4", checks.filesystem(disk(), durable=True), OK, "reserved room is there"),
    ("ext4 of somebody else", checks.filesystem(disk(reserves=None), durable=True), OK, "ext4"),
    ("tmpfs", checks.filesystem(disk("tmpfs"), durable=False), WARN, "memory"),
    ("tmpfs and durability", checks.filesystem(disk("tmpfs"), durable=True), FAIL, "memory"),
    ("btrfs", checks.filesystem(disk("btrfs"), durable=False), WARN, "cannot be reserved"),
    ("zfs", checks.filesystem(disk("zfs"), durable=False), WARN, "zfs"),
    ("overlay", checks.filesystem(disk("overlay"), durable=False), WARN, "container"),
    ("nfs", checks.filesystem(disk("nfs4"), durable=False), FAIL, "line breaks"),
    ("sshfs", checks.filesystem(disk("fuse.sshfs"), durable=False), FAIL, "fuse.sshfs"),
    ("liar", checks.filesystem(disk(reserves=False), durable=False), FAIL, "did not get its blocks"),
    ("unknown", checks.filesystem(disk("newfs"), durable=False), OK, "newfs"),
    ("unknown and not tried", checks.filesystem(disk("", reserves=None), durable=False), WARN, "no known kind"),
    ("clock in step", checks.clock(Clock(True, -5, "lock")), OK, "in step"),
    ("clock on its own", checks.clock(Clock(False)), WARN, "not kept in step"),
    ("clock nobody knows", checks.clock(Clock(None)), OK, "does not tell"),
    ("clock set back", checks.clock(Clock(True, 3600, "state.sqlite")), FAIL, "state.sqlite was written 3600 s"),
    ("zones", checks.zones([]), OK, "is there"),
    ("no zones", checks.zones(["Asia/Tokyo"]), FAIL, "Asia/Tokyo"),
    ("data", checks.data_dir(Path("/data", 0o700, 7), 7), OK, "0700"),
    ("data, seen by root", checks.data_dir(Path("/data", 0o700, 7), 0), OK, "0700"),
    ("no data yet", checks.data_dir(Path("/data", None), 7), OK, "a start makes it"),
    ("no data ever", checks.data_dir(Path("/data", None, usable=False), 7), FAIL, "may not make it"),
    ("data of another", checks.data_dir(Path("/data", 0o700, 8), 7), FAIL, "belongs to user 8"),
    ("data of another that runs", checks.data_dir(Path("/data", 0o700, 8, usable=False), 7, runs=True), OK, "0700"),
    ("read-only data", checks.data_dir(Path("/data", 0o700, 7, usable=False), 7), FAIL, "cannot be written"),
    ("open data", checks.data_dir(Path("/data", 0o755, 7), 7), WARN, "mode 0755"),
    ("no file", checks.config_file(None, False), OK, "no file"),
    ("file", checks.config_file(Path("/c", 0o644), False), OK, "/c"),
    ("file with a password", checks.config_file(Path("/c", 0o640), True), OK, "/c"),
    ("password for all", checks.config_file(Path("/c", 0o644), True), WARN, "password"),
    ("missing file", checks.config_file(Path("/c", None), False), FAIL, "is not there"),
    ("unreadable file", checks.config_file(Path("/c", 0o600, usable=False), False), FAIL, "cannot be read"),
    ("wrong file", checks.config_wrong("line 1\nline 2"), FAIL, "line 1; line 2"),
    ("socket", checks.control_socket(Path("/s", 0o660), True), OK, "0660"),
    ("open socket", checks.control_socket(Path("/s", 0o666), True), WARN, "every user"),
    ("no socket", checks.control_socket(Path("/s", None), False), OK, "nobody answers"),
    ("closed socket", checks.control_socket(Path("/s", 0o600, usable=False), False), FAIL, "this user"),
    ("no daemon", checks.daemon("", False, ""), OK, "none runs"),
    ("daemon", checks.daemon("1", True, ""), OK, "ready"),
    ("daemon in trouble", checks.daemon("1", False, "store away"), FAIL, "store away"),
    ("free port", checks.port("http.listen", "h:1", False, "", ""), OK, "is free"),
    ("our port", checks.port("http.listen", "h:1", True, "", ""), OK, "the daemon has it"),
    ("systemd's port", checks.port("http.listen", "h:1", False, "h:1: taken", "ss", 1), OK, "socket unit"),
    ("taken port", checks.port("http.listen", "h:1", False, "h:1: taken", "ss"), FAIL, "taken"),
    ("store", checks.store(Store("x:", "24.8.1", "24.8")), OK, "24.8.1"),
    ("old store", checks.store(Store("x:", "9.12", "24.8")), FAIL, "older than 24.8"),
    ("store away", checks.store(Store("x:", "", "24.8", "refused")), FAIL, "refused"),
    ("store without a version", checks.store(Store("null:", "", "")), OK, "null:"),
    ("geo", checks.geo([Geo("/g", "City", 10.2)], "/geo"), OK, "10 days"),
    ("no geo", checks.geo([], "/geo"), WARN, "no database in /geo"),
    ("old geo", checks.geo([Geo("/g", "City", 10), Geo("/n", "ASN", 60)], "/geo"), WARN, "ASN, 60 days"),
    ("very old geo", checks.geo([Geo("/g", "City", 300)], "/geo"), WARN, "far off"),
    ("broken geo", checks.geo([Geo("/g", "", 0, "/g: damaged")], "/geo"), FAIL, "damaged"),
    ("python", checks.python((3, 11)), OK, "3.11"),
    ("old python", checks.python((3, 10)), FAIL, "3.10"),
    ("libraries", checks.libraries({"a": "1.2"}, {"a": "1.10"}), OK, "1 libraries"),
    ("old library", checks.libraries({"a": "1.10"}, {"a": "1.9"}), FAIL, "a 1.9 is older than 1.10"),
    ("missing library", checks.libraries({"a": "1"}, {}), FAIL, "a is missing"),
)


@pytest.mark.parametrize(("check", "state", "text"), [row[1:] for row in VERDICTS], ids=[row[0] for row in VERDICTS])
def test_facts_have_a_verdict_and_what_is_not_ok_says_how_to_mend_it(check: Check, state: str, text: str) -> None:
    assert check.state == state and text in check.text, check
    assert bool(check.mend) == (state != OK) and "\n" not in check.mend + check.text


def test_a_warning_is_no_failure() -> None:
    assert checks.well([Check("a", OK, ""), Check("b", WARN, "", "x")])
    assert not checks.well([Check("a", OK, ""), Check("b", FAIL, "", "x")])


@pytest.mark.parametrize(
    ("text", "numbers"), [("26.9.2.1", (26, 9, 2, 1)), ("15.18 (Debian)", (15, 18)), ("1.0rc1", (1, 0)), ("x", ())]
)
def test_versions_are_compared_as_numbers(text: str, numbers: tuple[int, ...]) -> None:
    assert checks.numbers(text) == numbers
