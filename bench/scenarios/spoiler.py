"""The proxy before a store, as a process of its own: so that what it does costs the generator nothing.

``python -m bench.scenarios.spoiler HOST PORT`` prints the port it listens on, then obeys a line of standard input
each: the JSON of a mode (``bench.faults.proxy.Mode``), or null for none. It ends with its standard input.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence

from bench.faults.proxy import Mode, Proxy


def main(argv: Sequence[str] | None = None) -> int:
    """See the module's text."""
    host, port = sys.argv[1:] if argv is None else argv
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the bench, which then closes our standard input
    proxy = Proxy(host, int(port), 0)
    try:
        print(proxy.port, flush=True)
        for line in sys.stdin:
            order = json.loads(line)
            proxy.set(Mode(**order) if order else None)
            print("done", flush=True)
    finally:
        proxy.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
