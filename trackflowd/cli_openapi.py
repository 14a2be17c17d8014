"""``trackflow openapi``: the OpenAPI documents of both listeners. No daemon is asked.

``python -m trackflowd.cli_openapi docs`` writes them as files into that directory; ``make format`` does, and a test
holds the files equal to what the code says.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trackflowd.cli_parser import Commands
from trackflowd.cli_text import say

#: File of each listener's document.
FILES: Mapping[str, str] = {"events": "openapi.json", "admin": "openapi-admin.json"}


def add_commands(commands: Commands) -> None:
    """Add this module's command."""
    parser = commands.add(
        "openapi",
        "the OpenAPI document of the event listener, or of the admin listener",
        _print,
        "trackflow openapi > openapi.json\ntrackflow openapi --admin",
    )
    parser.add_argument("--admin", action="store_true", help="of the admin listener")
    parser.add_argument("--json", action="store_true", help="it is JSON anyway")


def written(document: Mapping[str, Any]) -> str:
    """A document as a text."""
    return json.dumps(document, ensure_ascii=False, indent=2)


def described() -> Mapping[str, Mapping[str, Any]]:
    """Both documents by listener; what makes them is imported here, so that no other command waits for it."""
    from trackflowd import admin_routes

    return admin_routes.described()


def _print(args: argparse.Namespace) -> int:
    say(written(described()["admin" if args.admin else "events"]))
    return 0


def main(arguments: Sequence[str]) -> None:
    """Write the documents into the directory that is given."""
    (directory,) = map(Path, arguments)
    for listener, document in described().items():
        (directory / FILES[listener]).write_text(written(document) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
