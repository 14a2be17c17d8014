"""The table of settings in ``docs/sites.md``, written from ``site``.

``python -m trackflowd.site_text docs/sites.md`` puts it between the two marks of that page; ``make format`` does, and a
test holds the page equal to it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from trackflowd.control_text import between
from trackflowd.site import SETTINGS, Setting

BEGIN = "<!-- from here on written by `make format` from trackflowd/site.py -->"


def table() -> str:
    """The table as Markdown."""
    return "\n".join(["| setting | kind | default | what it is |", "|---|---|---|---|", *map(_row, SETTINGS.values())])


def _row(setting: Setting) -> str:
    spec = setting.spec
    text = spec.help
    if spec.choices:
        text += f" One of: {', '.join(spec.choices)}."
    elif spec.high is not None:
        text += f" At most {spec.kind.say(spec.high)}."
    default = setting.write(setting.default)
    return f"| `{setting.name}` | {spec.kind.name} | {f'`{default}`' if default else ''} | {text} |"


def filled(page: str) -> str:
    """A page with the table between its marks.

    Raises:
        ValueError: the marks are not there.
    """
    return between(page, BEGIN, table())


def main(arguments: Sequence[str]) -> None:
    """Rewrite the page whose path is given."""
    (path,) = map(Path, arguments)
    path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
