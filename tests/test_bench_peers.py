"""bench peers: what a peer is, what is said of a run, and a run of a second against nginx and trackflowd."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from bench.load import HEADERS, BenchFailed, answered, cpu_s, free_port, on_core
from bench.peers import goatcounter, nginx_body, python_apps
from bench.peers.base import Peer, Turn, end, installing, runs, said, started, until_idle
from bench.peers.cli import main
from bench.peers.document import Measured, document, lines
from bench.peers.registry import DENOMINATOR, PEERS
from bench.report.documents import Peers, parse
from trackflowd.cli_text import Style

ROOT = Path(__file__).parent.parent
PLACE: dict[str, Any] = {"machine": {"cores": 2}, "versions": {}, "commit": None, "began": "2026-11-24T12:00:00+00:00"}


def a_peer(name: str = "one") -> Peer:
    """A peer that is never started."""
    return Peer(name, f"about {name}", "nothing", serve=DENOMINATOR.serve)


def turns(own: float, base: float, stored: float | None = None) -> tuple[Turn, Turn]:
    """A pair by its CPU µs."""
    return Turn(1000, 500.0, own, own if stored is None else stored), Turn(2000, 1000.0, base, base)


def made(*measured: Measured) -> dict[str, Any]:
    """The document of a run."""
    return document(measured, DENOMINATOR, "nginx/1.22", PLACE, {"pairs": 3})


def test_a_ratio_belongs_to_its_pair_and_the_median_is_of_the_ratios() -> None:
    one = Measured(a_peer(), [turns(15, 10, 20), turns(60, 20, 70), turns(16, 10, 30)])
    figures = made(one)["peers"][1]["figures"]
    assert figures["ratio"] == {"unit": "× nginx", "median": 1.6, "min": 1.5, "max": 3.0, "better": "lower"}
    assert figures["cpu_us"]["median"] == 16 and figures["stored_ratio"]["median"] == 3.0
    assert figures["rate"] == {"unit": "requests/s", "median": 500, "min": 500, "max": 500, "better": "higher"}


def test_the_denominator_has_all_its_turns_and_stands_at_one() -> None:
    found = made(Measured(a_peer(), [turns(15, 10)]), Measured(a_peer("two"), [turns(90, 30)]))
    base = found["peers"][0]
    assert base["name"] == "nginx" and base["denominator"] is True
    assert base["figures"]["cpu_us"]["median"] == 20 and base["figures"]["ratio"]["max"] == 1


def test_the_document_is_one_that_the_report_reads() -> None:
    said = made(Measured(a_peer(), [turns(15, 10)]), Measured(a_peer("gone"), skipped="not here: apt-get install gone"))
    found = parse(msgspec.json.encode(said))
    assert isinstance(found, Peers)
    assert [(peer.name, peer.skipped) for peer in found.peers] == [
        ("nginx", None),
        ("one", None),
        ("gone", "not here: apt-get install gone"),
    ]


def test_what_was_skipped_or_failed_is_named_in_the_table() -> None:
    text = "\n".join(
        lines(
            made(
                Measured(a_peer(), [turns(15, 10)]),
                Measured(a_peer("gone"), skipped="not here: apt-get install gone"),
                Measured(a_peer("ill"), skipped="wrk says no", failed=True),
            ),
            Style(),
        )
    )
    assert "gone: skipped: not here: apt-get install gone" in text and "ill: failed: wrk says no" in text
    assert re.search(r"one +15\.0 +1\.50 +1\.50-1\.50", text)


@pytest.mark.parametrize("peer", [DENOMINATOR, *PEERS], ids=lambda peer: peer.name)
def test_each_peer_says_how_it_is_configured_what_it_keeps_and_what_it_lacks(peer: Peer, tmp_path: Path) -> None:
    assert peer.about and peer.durability
    lacks = peer.lacks(tmp_path)
    assert not lacks or re.search(r"apt-get install|bench peers --install", lacks)


def test_names_are_distinct_and_typed_without_spaces() -> None:
    names = [peer.name for peer in (DENOMINATOR, *PEERS)]
    assert len(set(names)) == len(names) and all(re.fullmatch(r"[a-z-]+", name) for name in names)


def test_wrks_words_are_read_and_an_answer_that_is_not_2xx_fails() -> None:
    words = "  1234 requests in 1.00s, 1MB read\nRequests/sec:   1230.5\n"
    assert answered(words) == (1234, 1230.5)
    with pytest.raises(BenchFailed, match="Non-2xx"):
        answered(words + "  Non-2xx or 3xx responses: 4\n")
    with pytest.raises(BenchFailed):
        answered("  0 requests in 1.00s\nRequests/sec: 0.0\n")
    with pytest.raises(BenchFailed, match="unable to connect"):
        answered("unable to connect to 127.0.0.1:1 Connection refused")


def test_the_request_to_goatcounter_is_its_own_and_the_headers_are_the_same() -> None:
    assert "/count?p=" in goatcounter.PEER.request and '"site"' not in goatcounter.PEER.request
    assert HEADERS["User-Agent"].startswith("Mozilla/5.0")


_BURNS = """
import socket, subprocess, sys, time
burn = "import time\\nwhile time.process_time() < {s}: pass"
wait = "\\nprint(flush=True)\\ntime.sleep(60)"
subprocess.run([sys.executable, "-c", burn.format(s=0.5)])
child = subprocess.Popen([sys.executable, "-c", burn.format(s=0.5) + wait], stdout=-1)
child.stdout.readline()
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True: server.accept()
"""


def test_cpu_time_is_of_the_whole_tree_also_of_what_has_ended(tmp_path: Path) -> None:
    port = free_port()
    with started([sys.executable, "-c", _BURNS, str(port)], tmp_path, "burns", port) as server:
        child = server.roots[0].children()[0]
        # Without either of the two there were 0.5 s and two starts; /proc counts in ticks of 10 ms, rounded down.
        assert 0.9 <= cpu_s(server.roots) < 5
        assert cpu_s([child]) < cpu_s(server.roots)
        until_idle(server.roots, quiet_s=0.2)
    assert not runs(child)


def test_a_server_that_ends_is_told_with_its_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('no such option'); sys.exit(3)"]
    with pytest.raises(BenchFailed, match=r"(?s)odd ended with code 3.*no such option"):
        with started(command, tmp_path, "odd", free_port()):
            pass


def test_a_server_that_ignores_sigterm_is_ended_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.peers.base._END_WITHIN", 0.1)
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    end(process)
    process.stdout.close()
    assert process.poll() == -9


def test_what_is_started_on_a_core_stays_there_and_the_caller_does_not() -> None:
    mine = os.sched_getaffinity(0)
    with on_core(0), subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert psutil.Process(child.pid).cpu_affinity() == sorted(mine)[:1]
        child.communicate(b"\n")
    assert os.sched_getaffinity(0) == mine


def test_an_install_that_fails_says_so_with_its_last_words() -> None:
    with pytest.raises(BenchFailed, match="no route"):
        installing([sys.executable, "-c", "import sys; print('no route'); sys.exit(1)"])
    with pytest.raises(BenchFailed, match="No such file"):
        installing(["/nowhere/npm", "install"])
    assert said(["/nowhere/goatcounter", "version"]) == ""


def test_the_python_peers_are_missing_until_both_packages_are_there(tmp_path: Path) -> None:
    ask = python_apps.lacks("fastapi", "uvicorn")
    site = tmp_path / "python" / "lib" / "python3.11" / "site-packages"
    assert "fastapi and uvicorn not in" in ask(tmp_path) and "--install" in ask(tmp_path)
    (site / "fastapi").mkdir(parents=True)
    assert ask(tmp_path).startswith("uvicorn not in")
    (site / "uvicorn").mkdir()
    assert ask(tmp_path) == ""


@pytest.mark.parametrize("words", [["no-such"], ["--pairs", "0"], ["--seconds", "0"]])
def test_wrong_usage_exits_with_two(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "bench peers: " in capsys.readouterr().err


def test_the_list_names_what_is_missing_and_measures_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--list", "fastapi", "--cache", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "nginx: Debian's nginx" in text and "  skipped: fastapi and uvicorn" in text
    assert "  keeps: nothing: memory of the process" in text


def test_missing_programs_are_named_with_what_to_type() -> None:
    command = [sys.executable, "-m", "bench", "peers"]
    done = subprocess.run(command, cwd=ROOT, env={"PATH": "/nowhere"}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "apt-get install wrk" in done.stderr


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is missing: apt-get install wrk")
@pytest.mark.skipif(
    not shutil.which("nginx", path="/usr/sbin:/usr/bin"), reason="nginx is missing: apt-get install nginx"
)
def test_a_run_of_one_pair_measures_trackflowd_and_skips_what_is_not_here(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "peers", "trackflowd", "nginx-body", "aiohttp"]
    options = ["--pairs", "1", "--seconds", "1", "--json", "--cache", str(tmp_path / "cache")]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = parse(done.stdout.encode())
    assert isinstance(found, Peers) and found.parameters["pairs"] == 1
    by_name = {peer.name: peer for peer in found.peers}
    trackflowd = by_name["trackflowd"].figures
    assert trackflowd["stored_cpu_us"].median > trackflowd["cpu_us"].median > 0  # the flusher's is in the one only
    assert by_name["nginx"].figures["cpu_us"].median > 0 and by_name["nginx"].version.startswith("nginx/")
    assert "--install" in (by_name["aiohttp"].skipped or "")
    assert bool(nginx_body.PEER.lacks(tmp_path)) == (by_name["nginx-body"].skipped is not None)
    pair = json.loads(done.stdout)["peers"][1]["pairs"][0]
    assert pair["peer"]["cpu_us"] / pair["nginx"]["cpu_us"] == pytest.approx(trackflowd["ratio"].median, abs=0.001)
