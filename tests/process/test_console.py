"""The console in a real terminal (tmux), beside a daemon under traffic."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.console_server import Server
from tests.console_values import status
from tests.process.harness import ROOT, Daemon
from tests.tmux import TMUX, Terminal

pytestmark = pytest.mark.skipif(not TMUX, reason="tmux is not installed: apt-get install tmux")

SITE = "shop.example"
_OPERATOR = "from trackflowd.cli import operator; raise SystemExit(operator())"

#: What stands on each tab once it has heard of the daemon; a text, or a pattern between slashes.
TABS: Sequence[tuple[str, Sequence[str]]] = (
    ("1", ("● ready", "events/s", "requests/s", "Alerts", "Refused", "bad_json", r"/peak \S+ in/")),
    ("2", ("┌─ workers", "┌─ rings", "┌─ flusher", "┌─ store", "┌─ spool", "1/1 ready", r"/─▶/", "confirmed")),
    ("3", ("visitors in the last 5 minutes", "Pages", "Sources", "Campaigns", "as of", "█")),
    ("4", ("as they come", SITE, "pageview", r"/\d\d:\d\d:\d\d +shop/")),
    ("5", ("supervisor", "worker 0", "flusher", "Machine", "Disk", r"/\d+ MiB/")),
    ("6", ("no tasks",)),
    ("7", ("is ready (process",)),
)


def command(daemon: Daemon, *words: str) -> list[str]:
    """The console's command line for a daemon."""
    return [sys.executable, "-c", _OPERATOR, "--socket", str(daemon.socket), "console", *words]


def console(directory: Path, daemon: Daemon, *words: str, columns: int = 80, rows: int = 24) -> Terminal:
    """A console in a terminal."""
    env = {"PYTHONPATH": str(ROOT), "TZ": "UTC"}
    return Terminal(directory, command(daemon, *words), columns, rows, env)


def shell(directory: Path, daemon: Daemon, *words: str) -> Terminal:
    """A shell that runs a console and says how it ended and how it left the terminal."""
    script = f"trap : INT; {shlex.join(command(daemon, *words))}; echo code $?; stty -a; read line"
    return Terminal(directory, ["sh", "-c", script], 80, 24, {"PYTHONPATH": str(ROOT)})


def found(text: str, screen: str) -> bool:
    """Whether a text, or a pattern between slashes, is on the screen."""
    return bool(re.search(text[1:-1], screen)) if text[0] == text[-1] == "/" else text in screen


def all_found(texts: Sequence[str], screen: str) -> bool:
    """Whether all of them are."""
    return all(found(text, screen) for text in texts)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with events in its store and traffic until the end."""
    sets = ("daemon.workers=1", "store.url=chdb:", "http.trusted_proxies=127.0.0.0/8", "log.level=info")
    with Daemon(tmp_path_factory.mktemp("daemon"), *sets) as running:
        running.request("/v1/events", b"{")  # a refusal to be shown
        words = ["--url", running.http, "--site", SITE, "--rate", "60", "--connections", "4", "--pool", "500"]
        traffic = subprocess.Popen(
            [sys.executable, "-m", "bench", "traffic", *words, "--duration", "600", "--bad", "0"],
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            running.await_status(lambda status: status["totals"]["rows_stored"] > 100)
            yield running
        finally:
            traffic.kill()
            traffic.wait()


@pytest.fixture(scope="module")
def terminal(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A console on it that the tests of this module share."""
    with console(tmp_path_factory.mktemp("tmux"), daemon) as running:
        running.await_text("● ready")
        yield running


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 60)])
def test_every_tab_shows_the_daemon_at_every_size(terminal: Terminal, columns: int, rows: int) -> None:
    terminal.resize(columns, rows)
    for key, texts in TABS:
        terminal.keys(key)
        screen = terminal.await_screen(partial(all_found, texts), str(texts))
        lines = screen.split("\n")
        assert "TrackFlow" in lines[0] and " ready " in lines[0]
        assert "? help" in lines[rows - 1]
        assert "Traceback" not in screen


def test_a_terminal_that_is_too_small_is_told_and_recovers(terminal: Terminal) -> None:
    terminal.keys("1")
    terminal.resize(60, 20)
    terminal.await_text("This terminal has 60×20")
    terminal.resize(80, 24)
    terminal.await_text("● ready", "? help")


def test_the_mouse_reaches_tabs_and_buttons(terminal: Terminal) -> None:
    row = terminal.lines()[1]
    terminal.click(row.index("2 Pipeline") + 3, 1)
    terminal.await_text("┌─ workers")
    terminal.click(terminal.lines()[23].index("? help"), 23)
    terminal.await_text("Act on the daemon")
    lines = terminal.lines()
    at = next(number for number, line in enumerate(lines) if " Close " in line)
    terminal.click(lines[at].index("Close"), at)
    terminal.await_screen(lambda screen: "Act on the daemon" not in screen, "the help is closed")


def test_live_events_are_filtered_held_and_inspected(terminal: Terminal) -> None:
    terminal.keys("4", "/")
    terminal.await_text("field=text")
    terminal.type("name=pageview")
    terminal.keys("Enter")
    terminal.await_text("filter name=pageview")
    terminal.keys("Up")
    terminal.await_text("held")
    terminal.keys("Enter")
    terminal.await_text("event_id", "visitor")
    terminal.keys("Escape", "Escape", "Escape")
    terminal.await_screen(lambda screen: "filter name" not in screen and "held" not in screen, "released")


def test_acting_keys_ask_first_and_show_the_answer(terminal: Terminal, daemon: Daemon) -> None:
    terminal.keys("1", "F")
    terminal.await_text("Flush?")
    terminal.keys("n")
    terminal.await_screen(lambda screen: "Flush?" not in screen, "closed")
    terminal.keys("F", "y")
    terminal.await_screen(lambda screen: found(r"/flush: (all stored|asked for; .* still wait)/", screen), "the answer")
    terminal.keys("Y")
    terminal.await_text("how far back")
    terminal.keys("Enter")
    terminal.await_text("Replay?")
    terminal.keys("y")
    terminal.await_text("is begun")
    terminal.keys("6")
    terminal.await_text("replay", "history")
    assert daemon.call("tasks")[0]["kind"] == "replay"
    terminal.keys("1")


def test_one_screen_is_printed_for_scripts(daemon: Daemon) -> None:
    for tab in ("pipeline", "audience", "live"):
        words = command(daemon, "--once", "--tab", tab, "--size", "100x30")
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
        lines = done.stdout.splitlines()
        assert len(lines) == 30 and max(map(len, lines)) <= 100
        assert "waiting" not in done.stdout


def test_without_colours_and_utf8_all_is_said_in_ascii(daemon: Daemon, tmp_path: Path) -> None:
    with shell(tmp_path, daemon, "--mono", "--ascii", "--tab", "pipeline") as plain:
        plain.await_text("+- workers")
        for key in "1234567":
            plain.keys(key)
            plain.await_screen(lambda screen: "help" in screen, "the tab")
            shown = "\n".join(plain.lines(colours=True))
            assert shown.isascii()
            assert not re.search(r"\x1b\[[\d;]*\b(3[0-8]|4[0-8]|9[0-7])\b", shown), "a colour"
        plain.keys("q")
        plain.await_text("code 0")


def test_ctrl_c_leaves_the_terminal_as_it_was(daemon: Daemon, tmp_path: Path) -> None:
    with shell(tmp_path, daemon) as running:
        running.await_text("● ready")
        running.keys("C-c")
        screen = running.await_text("code 130", " icanon", " echo ")
        assert "Traceback" not in screen and "TrackFlow" not in screen


def test_who_may_only_look_is_told_so_when_acting(tmp_path: Path) -> None:
    text, hint = "pause: only the daemon's user and root may do that", "run it as trackflow, or with sudo"
    answers = {"pause": ("not_permitted", text, hint), "flush": ("not_permitted", text.replace("pause", "flush"), hint)}
    path = tmp_path / "control.sock"
    words = [sys.executable, "-c", _OPERATOR, "--socket", str(path), "console"]
    with (
        Server(path, answers, {"watch": [status()]}),
        Terminal(tmp_path, words, 80, 24, {"PYTHONPATH": str(ROOT)}) as terminal,
    ):
        terminal.await_text("● ready")
        for key, title in (("P", "Not paused"), ("F", "Not stored")):
            terminal.keys(key, "y")
            terminal.await_text(title, "only the daemon's user and root", hint)
            terminal.keys("Escape")
            terminal.await_screen(lambda screen, title=title: title not in screen, "closed")  # type: ignore[misc]


@pytest.mark.skipif(os.geteuid() != 0, reason="this machine cannot become another user: not root")
def test_who_may_not_look_is_told_so_without_a_screen(daemon: Daemon) -> None:
    become = "import os; from trackflowd.cli import operator; os.setgroups([]); os.setgid(65534); os.setuid(65534); "
    words = [sys.executable, "-c", f"{become}raise SystemExit(operator())", *command(daemon, "--once")[3:]]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert "this user may not talk to the daemon" in done.stderr


def test_a_daemon_that_is_killed_is_missed_and_found_again(tmp_path: Path) -> None:
    with Daemon(tmp_path, "daemon.workers=1", "store.url=null:") as daemon, console(tmp_path, daemon) as terminal:
        terminal.await_text("● ready")
        daemon.end()
        terminal.await_text("no connection for", "What stands below is from before")
        terminal.keys("F", "y")
        terminal.await_text("Not stored", "no trackflowd listens")
        terminal.keys("Escape")
        daemon.start()
        terminal.await_screen(lambda screen: "no connection" not in screen and "● ready" in screen, "ready again")
        os.kill(daemon.pid("supervisor"), 19)  # SIGSTOP
        terminal.await_text("silent for")
        os.kill(daemon.process.pid if daemon.process else 0, 18)  # SIGCONT
        terminal.await_screen(lambda screen: "silent" not in screen, "heard again")
        terminal.keys("D", "y")
        terminal.await_text("no connection for")
        assert daemon.wait() == 0
