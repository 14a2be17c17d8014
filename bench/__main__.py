"""``python -m bench``: see ``--help``."""

from __future__ import annotations

import sys

from bench.cost import main

if __name__ == "__main__":
    sys.exit(main())
