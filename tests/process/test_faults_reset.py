"""Row 23 of the fault list with resets that the kernel makes: iptables, in a network of the test's own.

A thread leaves the machine's network for an empty one; what it starts (front, daemon) and its own connections are
in there with it. A reset behind the wire ends the request for both sides; one before it only for the daemon: the store
waits for the rest of the body.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import pytest

from tests.process.harness import until
from tests.process.judge import flush
from tests.process.stage import Stage, inserts

CLONE_NEWNET = 0x40000000
EVENTS = 400
#: Of the packets with data to the store, the nth and every 16th behind it: one hits an insert's head, others its body.
PLACES = (0, 1, 4)


def in_own_network(action: Callable[[], None]) -> None:
    """Run it in a thread that shares no network with anybody but its own children."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(_enter).result()
        thread.submit(action).result()


def _enter() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        pytest.skip(f"this machine cannot give a process a network of its own: {os.strerror(ctypes.get_errno())}")
    _run("ip", "link", "set", "lo", "up")
    _run("iptables", "-L")


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip(f"this machine cannot filter packets: there is no {command[0]}")
    if done.returncode:
        pytest.skip(f"this machine cannot filter packets: {' '.join(command)}: {done.stderr.strip()}")


def _rule(verb: str, port: int, *match: str) -> None:
    _run(
        "iptables",
        verb,
        "INPUT",
        "-p",
        "tcp",
        "--dport",
        str(port),
        *match,
        "-j",
        "REJECT",
        "--reject-with",
        "tcp-reset",
    )


def _rejected() -> int:
    listed = subprocess.run(["iptables", "-L", "INPUT", "-nvx"], capture_output=True, text=True, check=True).stdout
    return int(listed.splitlines()[2].split()[0])


def test_a_connection_the_kernel_resets_in_the_middle_of_an_insert_leaves_every_event_stored_once(
    tmp_path: Path,
) -> None:
    def faults() -> None:
        sets = ("store.timeout=2", "batch.max_age=0.05")
        with Stage(tmp_path, *sets) as stage:
            for place, port in product(PLACES, (stage.wire.port, stage.front.port)):
                match = ["-m", "length", "--length", "300:65535"]
                match += ["-m", "statistic", "--mode", "nth", "--every", "16", "--packet", str(place)]
                _rule("-I", port, *match)
                while not _rejected():
                    stage.send(EVENTS, array=100)
                    flush(stage.daemon)
                _rule("-D", port, *match)
            _rule("-I", stage.wire.port)
            stage.send(EVENTS, array=100)
            until(_rejected)
            stage.daemon.await_status(lambda status: not status["health"]["ready"])
            _rule("-D", stage.wire.port)
            stage.assert_kept()
            assert stage.daemon.status()["batches"]["doubted"] > 0
            assert inserts(stage.front)
            assert stage.daemon.stop() == 0

    in_own_network(faults)
