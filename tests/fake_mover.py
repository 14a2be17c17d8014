"""A mover's process that does as told, without stores: each call is a line in ``calls``; a line in ``orders`` says what
the next one does: ``die``, or ``CODE`` of an error, or nothing."""

from __future__ import annotations

import os
import socket
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

from trackflowd.calls import Calls
from trackflowd.errors import ControlError

CALLS, ORDERS = "calls", "orders"


def main(directory: Path, channel: int) -> None:
    """Serve until the channel is closed."""

    def call(name: str, **args: Any) -> dict[str, Any]:
        with (directory / CALLS).open("a") as file:
            file.write(f"{name} {os.getpid()}\n")
        orders = directory / ORDERS
        lines = orders.read_text().splitlines() if orders.exists() else []
        if lines and name != "close":
            orders.write_text("\n".join(lines[1:]))
            if lines[0] == "die":
                os._exit(9)
            if lines[0]:
                error = ControlError("as ordered")
                error.code = lines[0]
                raise error
        return {"there": 0, "now_ms": 1, **args}

    over = threading.Event()
    names = ("open", "plan", "months", "step", "late", "close")
    handlers = {name: partial(call, name) for name in names}
    Calls(socket.socket(fileno=channel), {}, handlers, over.set).start()
    over.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[sys.argv.index("--channel") + 1]))
