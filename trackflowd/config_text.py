"""The example file and the reference page, written from the table of options.

``python -m trackflowd.config --example`` prints ``trackflowd.example.toml``, ``--docs`` prints
``docs/configuration.md``; ``make format`` runs both, a test holds the files equal to this.
"""

from __future__ import annotations

import dataclasses
import sys
import textwrap
from collections.abc import Sequence

from trackflowd.config import Option, options
from trackflowd.sections import Config

_EXAMPLE_HEAD = """\
# trackflowd: every option with its default. The daemon runs without a file, and a file needs only
# the lines that differ. Use it with `trackflowd run -c FILE`; `trackflowd check -c FILE` says which
# line is wrong and what would be right.
#
# Durations: "500ms", "30s", "5m", "1h", "1d" or a number of seconds.
# Sizes: "64KiB", "16MiB", "2GiB" (also KB, MB, GB by thousands) or a number of bytes.
"""

_DOCS_HEAD = """\
# Configuration

*This page is written by `python -m trackflowd.config --docs` from the table in `trackflowd/sections.py`.*

TrackFlow runs without a configuration file. What is set later in this list wins:

1. the default,
2. the TOML file given by `trackflowd run -c FILE` (see `trackflowd.example.toml`),
3. the environment: `TRACKFLOW_SECTION_NAME`, such as `TRACKFLOW_HTTP_LISTEN`,
4. `--set section.name=value`, such as `--set http.listen=0.0.0.0:8080`.

`trackflowd check -c FILE` says which line is wrong and what would be right. In the environment and in
`--set`, lists are separated by commas. Durations are `500ms`, `30s`, `5m`, `1h`, `1d` or a number of
seconds; sizes are `64KiB`, `16MiB`, `2GiB` (also `KB`, `MB`, `GB` by thousands) or a number of bytes.

`trackflow reload`, or SIGHUP to the daemon, has a running daemon read file, environment and flags again. If anything is
wrong with them, nothing changes. Else it takes on at once, in every process, what the column *reload* says **yes** to,
without dropping a connection or an event; `trackflow reload --dry-run` only says what that would be. What says *no*
is named by the answer and stays as it is until a restart: `SIGTERM` answers what is in flight, flushes and ends.
`daemon.workers` can grow up to the number of listening sockets that were opened at the start (12, or more on a machine
of more cores). Whose `X-Forwarded-For` is believed is settled when a connection begins.
"""

_TABLE_HEAD = "| option | kind | default | reload | what it is |\n|---|---|---|---|---|\n"


def example() -> str:
    """The text of ``trackflowd.example.toml``."""
    parts = [_EXAMPLE_HEAD]
    for section, about, rows in _sections():
        parts.append(f"\n# {about}\n[{section}]\n")
        for row in rows:
            text = " ".join(part for part in (row.spec.help, _bounds(row)) if part)
            parts += [f"# {line}\n" for line in textwrap.wrap(text, 98)]
            parts.append(f"{row.name} = {row.kind.write(row.default)}\n")
    return "".join(parts)


def docs() -> str:
    """The text of ``docs/configuration.md``."""
    parts = [_DOCS_HEAD]
    for section, about, rows in _sections():
        parts.append(f"\n## {section}\n\n{about}\n\n{_TABLE_HEAD}")
        for row in rows:
            text = " ".join(part for part in (row.spec.help, _bounds(row)) if part)
            live = "yes" if row.spec.reload else "no"
            parts.append(f"| `{row.name}` | {row.kind.name} | `{row.kind.write(row.default)}` | {live} | {text} |\n")
    return "".join(parts)


def _sections() -> list[tuple[str, str, list[Option]]]:
    """Name, description and rows of each section."""
    rows = options()
    return [
        (
            field.name,
            (type(field.default).__doc__ or "").strip(),
            [row for row in rows if row.section == field.name],
        )
        for field in dataclasses.fields(Config)
    ]


def _bounds(row: Option) -> str:
    """A sentence that names the choices or bounds, or nothing."""
    spec = row.spec
    if spec.choices:
        return "One of: " + ", ".join(spec.choices) + "."
    low = "" if spec.low is None else f"at least {spec.kind.say(spec.low)}"
    high = "" if spec.high is None else f"at most {spec.kind.say(spec.high)}"
    text = ", ".join(part for part in (low, high) if part)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def main(arguments: Sequence[str]) -> int:
    """``--example`` or ``--docs``: print it."""
    writers = {"--example": example, "--docs": docs}
    if len(arguments) != 1 or arguments[0] not in writers:
        print("usage: python -m trackflowd.config --example|--docs", file=sys.stderr)
        return 2
    sys.stdout.write(writers[arguments[0]]())
    return 0
