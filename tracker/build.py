"""Makes the script that is served out of the one that is read.

``tracker/t.js`` → ``trackflowd/assets/t.js``, without comments, blank lines and indentation: names stay,
so what a browser shows is still legible. A comment in the source has its lines to itself, and no text in
it spans lines, so working line by line is enough and no JavaScript parser is needed.

Run it after a change; tests/test_tracker.py compares the two and weighs the result.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "tracker" / "t.js"
SERVED = ROOT / "trackflowd" / "assets" / "t.js"

#: Stays on top of the served script, so that who finds it in a page knows what it is.
BANNER = "// TrackFlow: no cookies, no storage. Apache-2.0"


def served(source: str) -> str:
    """The source's code lines, stripped, under the banner."""
    lines = [line.strip() for line in source.splitlines()]
    return "\n".join([BANNER, *(line for line in lines if line and not line.startswith("//"))]) + "\n"


if __name__ == "__main__":
    SERVED.write_text(served(SOURCE.read_text(encoding="utf-8")), encoding="utf-8")
