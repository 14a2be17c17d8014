"""The two commands: ``trackflowd``, the daemon, and ``trackflow``, the operator's tool.

Only this module ends the process, with one of these codes:

==== =========================================================================
code meaning
==== =========================================================================
0    done
1    an error, told on standard error in one line and, where there is one, a hint;
     trackflow replay: not all could be restored, and its summary says why;
     trackflow alerts: a critical one is on;
     trackflow verify, doctor: something is to be mended; trackflow stack: a container is not healthy
2    the command line or the configuration is wrong
3    trackflow: no daemon answers on the control socket;
     trackflowd run: stopped, and some events wait in rings or spool for the next start
130  Ctrl-C
==== =========================================================================

A reader that goes away (``trackflow tail | head``) is no error.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from trackflowd import (
    cli_alerts,
    cli_ask,
    cli_backup,
    cli_console,
    cli_debug,
    cli_doctor,
    cli_events,
    cli_keys,
    cli_look,
    cli_migrate,
    cli_openapi,
    cli_quarantine,
    cli_replay,
    cli_run,
    cli_sites,
    cli_spool,
    cli_stack,
    cli_stats,
    cli_steer,
    cli_tasks,
    cli_tokens,
    cli_tools,
    cli_verify,
)
from trackflowd import log as logs
from trackflowd.cli_parser import Commands, Handler, program_parser
from trackflowd.cli_text import Style, clean
from trackflowd.errors import ConfigError, ControlError, TrackflowError

OK, ERROR, USAGE, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130

_DAEMON_CODES = """\
0  done; after run: everything that was answered is stored
1  error
2  wrong usage or configuration
3  stopped, and some events wait in rings or spool for the next start"""

_OPERATOR_CODES = """\
0    done
1    error; replay: some batches are out of reach; alerts: one is critical; verify, doctor: something is to be mended;
     stack: a container is not healthy
2    wrong usage or configuration
3    no daemon answers
130  Ctrl-C"""


def daemon(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``trackflowd``; its exit code."""
    return _main("trackflowd", _daemon_parser(), argv)


def operator(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``trackflow``; its exit code."""
    return _main("trackflow", _operator_parser(), argv)


def _main(program: str, parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    """Parse, run the command, turn what it raises into a message and an exit code."""
    args = parser.parse_args(argv)
    handler: Handler = args.handler
    try:
        code = handler(args)
        sys.stdout.flush()
        return code
    except TrackflowError as error:
        _complain(program, error)
        if isinstance(error, ConfigError):
            return USAGE
        # What the daemon itself answers comes with a code of its own.
        return UNREACHABLE if error.code == ControlError.code else ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes standard output once more at exit; give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        _complain(program, TrackflowError(f"{error.filename or ''}: {error.strerror or error}".removeprefix(": ")))
        return ERROR


def _complain(program: str, error: TrackflowError) -> None:
    style, mark = Style.of(sys.stderr), logs.error_mark()
    for line in error.text.splitlines():
        print(f"{mark}{program}: {style.bad(clean(line))}", file=sys.stderr)
    if error.hint:
        print(f"{mark}  {clean(error.hint)}", file=sys.stderr)


def _daemon_parser() -> argparse.ArgumentParser:
    parser = program_parser(
        "trackflowd",
        "The tracking daemon: takes events over HTTP and lands each of them once in the store.",
        "trackflowd run\ntrackflowd run -c /etc/trackflow.toml --set http.listen=0.0.0.0:8080\n"
        "trackflowd check -c /etc/trackflow.toml",
        _DAEMON_CODES,
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("-c", "--config", metavar="FILE", help="TOML file; none: defaults")
    shared.add_argument(
        "--set",
        metavar="SECTION.KEY=VALUE",
        action="append",
        default=[],
        help="one option; wins over environment (TRACKFLOW_SECTION_KEY) and file; may be repeated",
    )
    shared.add_argument("--data-dir", metavar="DIR", help="the same as --set daemon.data_dir=DIR")
    commands = Commands(parser, [shared])
    run = commands.add(
        "run",
        "run the daemon in the foreground",
        cli_run.run,
        "trackflowd run --data-dir ./.data --set http.demo=true --follow\n"
        "trackflowd run -c trackflow.toml --set http.listen=127.0.0.1:9000 --set log.level=debug",
    )
    run.add_argument("--follow", action="store_true", help="print where everything is, then each event as one line")
    commands.add(
        "check",
        "read the configuration and say what is wrong, by line, or what it comes to",
        cli_run.check,
        "trackflowd check -c /etc/trackflow.toml\ntrackflowd check --set batch.max_age=500ms",
    )
    return parser


def _operator_parser() -> argparse.ArgumentParser:
    parser = program_parser(
        "trackflow",
        "Looks into a running trackflowd and steers it, over its control socket.",
        "trackflow console\ntrackflow status --watch\ntrackflow tail --site example.com\n"
        'trackflow query "SELECT path, count() FROM events GROUP BY path ORDER BY 2 DESC LIMIT 10"\n'
        "trackflow stats overview --period 7d",
        _OPERATOR_CODES,
    )
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    for target, default in ((parser, None), (shared, argparse.SUPPRESS)):
        target.add_argument("--socket", metavar="PATH", default=default, help="control socket ($TRACKFLOW_SOCKET)")
        target.add_argument("--data-dir", metavar="DIR", default=default, help="the daemon's data directory")
    commands = Commands(parser, [shared])
    cli_ask.add_commands(commands)
    cli_alerts.add_commands(commands)
    cli_look.add_commands(commands)
    cli_steer.add_commands(commands)
    cli_console.add_commands(commands)
    cli_stats.add_commands(commands)
    cli_events.add_commands(commands)
    cli_spool.add_commands(commands)
    cli_quarantine.add_commands(commands)
    cli_replay.add_commands(commands)
    cli_migrate.add_commands(commands)
    cli_backup.add_commands(commands)
    cli_tasks.add_commands(commands)
    cli_sites.add_commands(commands)
    cli_keys.add_commands(commands)
    cli_tokens.add_commands(commands)
    cli_tools.add_commands(commands)
    cli_verify.add_commands(commands)
    cli_doctor.add_commands(commands)
    cli_openapi.add_commands(commands)
    cli_debug.add_commands(commands)
    cli_stack.add_commands(commands)
    return parser


if __name__ == "__main__":
    sys.exit(daemon())
