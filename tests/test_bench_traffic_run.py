"""``python -m bench traffic`` for real: against a daemon and a responder, its documents and exit codes."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.traffic import tables
from bench.traffic.cli import main
from bench.traffic.loop import Loop
from bench.traffic.model import Model, Options
from bench.traffic.network import Network
from bench.traffic.target import BadUrl, Daemon, remote
from bench.traffic.wire import Format, Pool
from tests.geo_files import write
from trackflowd.client import Client

ROOT = Path(__file__).parent.parent
COMMAND = (sys.executable, "-m", "bench", "traffic", "--pool", "2000")


def run(*words: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, document and standard error of a run."""
    done = subprocess.run([*COMMAND, "--json", *words], cwd=ROOT, capture_output=True, text=True, timeout=120)
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory in which a socket's path fits, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="tf-") as name:
        yield Path(name)


def test_two_seconds_against_a_daemon_are_stored_as_acked() -> None:
    code, said, text = run("--duration", "2", "--shape", "mixed", "--bad", "0.05")
    assert code == 0, text
    events, answers = said["events"], said["answers"]
    assert events["sent"] == events["acked"] == events["stored"] > 200
    assert answers["4xx"] == said["meant_to_be_refused"] > 0 == answers["5xx"]
    assert answers["2xx"] + answers["4xx"] == said["requests"] and not said["failed_connections"]
    assert said["latency_ms"]["p50"] <= said["latency_ms"]["p99"] <= said["latency_ms"]["max"]
    assert said["holds"] is True and said["delay_ms"] is None
    assert "sending to a daemon of its own" in text


def test_visitors_are_found_in_their_countries(short_path: Path) -> None:
    records = {net: {"country_code": c.code} for c, _ in tables.COUNTRIES for net in (*c.blocks, c.six) if net}
    geo = write(short_path / "country.mmdb", records)
    daemon = Daemon(short_path, 1, "chdb:", {"geo.database": str(geo)})
    try:
        target = daemon.target
        pool = Pool.of(Model(Options(bad=0.0)).hits(), Format(host=target.host, keep_alive=False), 1, 500)
        requests = itertools.islice(pool.ready(1, 0), 600)
        tally = Loop(Network(target.address, 32), requests, time.perf_counter_ns, 16, rate=2000).run(60)
        assert tally.accepted == 600 == daemon.rows() and not tally.failed
        sql = "SELECT country, count() AS n FROM events WHERE bot = '' GROUP BY country"
        with Client.connect(str(short_path / "data" / "control.sock")) as client:
            lines = client.call("query", sql=sql, format="csv").decode().split()[1:]
        assert {line.split(",")[0].strip('"') for line in lines} <= {c.code for c, _ in tables.COUNTRIES}
        assert len(lines) > 8
        daemon.end()
    finally:
        daemon.kill()


@pytest.mark.parametrize("words", [("--shape", "pipeline"), ("--shape", "array"), ("--no-keep-alive",)])
def test_a_responder_that_does_nothing_answers_every_request(words: tuple[str, ...]) -> None:
    code, said, text = run("--null", "--events", "3000", "--connections", "8", *words)
    assert code == 0, text
    assert said["requests"] == said["answers"]["2xx"] > 0 == said["unanswered"]
    assert not said["failed_connections"] and said["events"]["stored"] is None is said["holds"]


def test_ctrl_c_says_what_there_is() -> None:
    with subprocess.Popen(
        [*COMMAND, "--null", "--duration", "600"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None and running.stdout is not None
        for line in running.stderr:
            if line.startswith("sending"):
                break
        running.send_signal(signal.SIGINT)
        said = running.stdout.read()
        assert running.wait(60) == 130
    assert "requests" in said and "interrupted" in said


@pytest.mark.parametrize("url", ["http://192.0.2.7:8080", "http://[2001:db8::1]", "0.0.0.0:80", "http://10.0.0.1"])
def test_another_machine_is_refused_unless_it_is_meant(url: str) -> None:
    with pytest.raises(BadUrl, match="--yes-remote"):
        remote(url, yes_remote=False)
    assert remote(url, yes_remote=True).address[1] in (80, 8080)


def test_loopback_needs_no_word() -> None:
    assert remote("http://127.0.0.1:8080", yes_remote=False).address == ("127.0.0.1", 8080)
    assert remote("http://[::1]:99/", yes_remote=False).address == ("::1", 99)
    assert remote("localhost:81", yes_remote=False).host == "localhost:81"


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1", "ftp://127.0.0.1", "http://127.0.0.1/path", "http://:80", "http://127.0.0.1:x"]
)
def test_a_url_that_cannot_be_sent_to_is_refused(url: str) -> None:
    with pytest.raises(BadUrl):
        remote(url, yes_remote=True)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--url", "http://192.0.2.7", "--site", "x"), "--yes-remote"),
        (("--url", "http://127.0.0.1"), "--site NAME is needed"),
        (("--connections", "0"), "--connections 0: not within 1"),
        (("--duration", "-1"), "more than 0 s"),
        (("--shape", "pipeline", "--no-keep-alive"), "a pipeline needs a connection that is kept"),
        (("--set", "http.listen"), "NAME=VALUE"),
        (("--null", "--url", "http://127.0.0.1", "--site", "x"), "one of them"),
    ],
)
def test_wrong_usage_is_code_2_and_says_why(
    words: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert text in capsys.readouterr().err


def test_nobody_there_is_code_1_and_said() -> None:
    code, said, _ = run("--url", "http://127.0.0.1:1", "--site", "x", "--duration", "0.3", "--connections", "2")
    assert code == 1
    assert said["answers"]["2xx"] == 0 and said["failed_connections"].keys() == {"Connection refused"}


def test_a_daemon_that_does_not_start_is_code_1_with_its_words() -> None:
    code, _, text = run("--set", "ring.size=1", "--duration", "1")
    assert code == 1
    assert "ended with code" in text and "ring.size" in text


def test_help_has_examples() -> None:
    done = subprocess.run([*COMMAND, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "python -m bench traffic --rate 5000" in done.stdout and "--yes-remote" in done.stdout
