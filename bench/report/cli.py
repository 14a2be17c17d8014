"""``python -m bench report``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.report.documents import BadDocument, read
from bench.report.markdown import markdown
from bench.report.page import page

WELL, BROKEN, WRONG_USAGE = 0, 1, 2

_ABOUT = """\
One HTML page with charts of the documents that `bench run --json` and `bench peers --json` print: throughput, latency
by percentile, CPU and memory of each process, growth, peers beside nginx; with parameters, machine, versions and
commit. The page needs nothing beside itself, and follows light and dark.
"""
_EXAMPLES = """\
exit code: 0 well, 1 the page could not be written, 2 wrong usage or not such a document

examples:
  python -m bench run --json > run.json; python -m bench peers --json > peers.json
  python -m bench report run.json peers.json                writes report.html
  python -m bench report run.json -o today.html
  python -m bench report --markdown run.json                the tables for docs/performance.md
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of ``python -m bench report``; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench report", description=_ABOUT, epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("documents", nargs="+", type=Path, metavar="RUN.json", help="in the order they are to be shown")
    parser.add_argument("-o", "--output", type=Path, default=Path("report.html"), metavar="FILE",
                        help="the page (default report.html)")  # fmt: skip
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables, and write no page")
    args = parser.parse_args(argv)
    try:
        found = [read(path) for path in args.documents]
    except BadDocument as error:
        print(f"bench report: {error}", file=sys.stderr)
        return WRONG_USAGE
    if args.markdown:
        print(markdown(found))
        return WELL
    try:
        args.output.write_text(page(found), encoding="utf-8")
    except OSError as error:
        print(f"bench report: {args.output}: {error.strerror}", file=sys.stderr)
        return BROKEN
    print(args.output)
    return WELL
