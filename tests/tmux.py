"""A terminal for tests: tmux, with a server of its own, whose screen is read as text.

::

    with Terminal(tmp_path, ["trackflow", "console"], 80, 24) as terminal:
        terminal.await_text("ready")
        terminal.keys("2")
        terminal.resize(200, 60)
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

#: Seconds a text may take to appear.
PATIENCE = 30.0
_LOOK = 0.05
#: In front of everything a run of tmux needs.
TMUX = shutil.which("tmux") or ""


class Terminal:
    """See above.

    Args:
        directory: for the server's socket.
        command: what runs in it.
        columns, rows: its size.
        env: added to the command's environment.
    """

    def __init__(
        self, directory: Path, command: Sequence[str], columns: int, rows: int, env: Mapping[str, str] | None = None
    ) -> None:
        self._base = [TMUX, "-S", str(directory / "tmux.sock"), "-f", "/dev/null"]
        self._command = ["env", *(f"{name}={value}" for name, value in (env or {}).items()), *command]
        self.columns, self.rows = columns, rows

    def __enter__(self) -> Terminal:
        size = ["-x", str(self.columns), "-y", str(self.rows)]
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        environment.pop("TMUX", None)
        # The command is kept in the pane after its end, so that its last words can be read.
        options = ["set", "-g", "remain-on-exit", "on", ";", "set", "-g", "default-terminal", "tmux-256color", ";",
                   "set", "-g", "status", "off", ";",
                   "set", "-g", "escape-time", "0", ";"]  # fmt: skip
        command = [*self._base, *options, "new-session", "-d", *size, shlex.join(self._command)]
        subprocess.run(command, env=environment, check=True, timeout=PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note("--- the screen\n" + "\n".join(self.lines()))
        subprocess.run([*self._base, "kill-server"], check=False, capture_output=True, timeout=PATIENCE)

    def _run(self, *words: str) -> str:
        done = subprocess.run([*self._base, *words], check=True, capture_output=True, text=True, timeout=PATIENCE)
        return done.stdout

    def lines(self, colours: bool = False) -> list[str]:
        """The screen, line by line; with its escape sequences for colours, if asked for."""
        return self._run("capture-pane", "-p", *(["-e"] if colours else [])).split("\n")[: self.rows]

    def text(self) -> str:
        """The screen as one text."""
        return "\n".join(self.lines())

    def keys(self, *keys: str) -> None:
        """Press keys, by the names tmux has for them ("Enter", "Escape", "C-u", "PPage"); others are typed."""
        for key in keys:
            self._run("send-keys", key)

    def type(self, text: str) -> None:
        """Type a text as it is."""
        self._run("send-keys", "-l", text)

    def click(self, column: int, row: int) -> None:
        """Press and release the left button, as a terminal reports it (SGR mouse mode, 1-based)."""
        for end in ("M", "m"):
            self._run("send-keys", "-l", f"\x1b[<0;{column + 1};{row + 1}{end}")

    def resize(self, columns: int, rows: int) -> None:
        """Give it another size."""
        self.columns, self.rows = columns, rows
        self._run("resize-window", "-x", str(columns), "-y", str(rows))

    def await_screen(self, good: Callable[[str], object], what: str = "") -> str:
        """The first screen that is good; AssertionError after ``PATIENCE`` seconds."""
        deadline = time.monotonic() + PATIENCE
        while not good(text := self.text()):
            assert time.monotonic() < deadline, f"not on the screen within {PATIENCE:g} s: {what}\n{text}"
            time.sleep(_LOOK)
        return text

    def await_text(self, *texts: str) -> str:
        """The first screen with all of these texts."""
        return self.await_screen(lambda screen: all(text in screen for text in texts), " and ".join(texts))

    def pid(self) -> int:
        """Process id of the command."""
        return int(self._run("display-message", "-p", "#{pane_pid}"))
