"""``trackflow events``: single events, shown, listed, exported, corrected, erased."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from trackflowd.cli_ask import connect
from trackflowd.cli_parser import Commands
from trackflowd.cli_spool import confirmed
from trackflowd.cli_tasks import TaskDict, moment, see_through, unfinished
from trackflowd.cli_text import Style, clean, count, fit, say, table, to_json
from trackflowd.client import Client
from trackflowd.errors import ConfigError, QueryError
from trackflowd.events import MAX_PAGE, SHOWN
from trackflowd.stats import spans

Event = Mapping[str, Any]

#: Events asked for at once where all are wanted.
_PAGE = 500

_LIST = """\
trackflow events list --site example.com
trackflow events list --user alice@example.com --from 2026-11-01 --to 2026-12-01
trackflow events list --name signup --period 7d --json | jq .props
trackflow events list --site example.com --period today --limit 0 --csv > today.csv"""
_ERASE = """\
trackflow events erase --user alice@example.com --dry-run
trackflow events erase --user alice@example.com
trackflow events erase --visitor 3f9a1c0b5d7e2f48 --yes
trackflow events erase --id 0193b0c2-a7d8-7e6f-a4c1-d2e3f4051627 --site example.com
trackflow events erase --site old.example.com --to 2026-01-01 --yes --detach"""


def add_commands(commands: Commands) -> None:
    """Add this module's commands."""
    group = commands.group(
        "events",
        "single events: show, list, export, correct, erase",
        "trackflow events list --user alice@example.com\ntrackflow events erase --user alice@example.com --dry-run",
    )
    get = group.add(
        "get",
        "everything of one event",
        _get,
        "trackflow events get 0193b0c2-a7d8-7e6f-a4c1-d2e3f4051627\n"
        "trackflow events get order-1234 --site shop.example.com --json",
    )
    listed = group.add("list", "events, newest first", _list, _LIST)
    export = group.add(
        "export",
        "all there is of one user or visitor, oldest first: one JSON object per line",
        _export,
        "trackflow events export --user alice@example.com > alice.jsonl\n"
        "trackflow events export --user alice@example.com --csv > alice.csv",
    )
    correct = group.add(
        "correct",
        "change properties of one event in the store",
        _correct,
        "trackflow events correct 0193b0c2-a7d8-7e6f-a4c1-d2e3f4051627 --set plan=pro --unset coupon",
    )
    erase = group.add("erase", "delete events for good, and keep every copy of them from coming back", _erase, _ERASE)
    erasures = group.add(
        "erasures", "what was erased, and is kept out", _erasures, "trackflow events erasures --json | jq '.[].what'"
    )
    forget = group.add(
        "forget",
        "forget an erasure: a replay may bring back what it kept out",
        _forget,
        "trackflow events forget 3",
    )
    for parser in (get, correct):
        parser.add_argument("id", metavar="ID", help="the event's id: a UUID, or what its sender called it")
        parser.add_argument("--site", default="", help="whose; needed where several sites have it")
    for parser in (listed, export, erase):
        _add_selection(parser)
    _add_others(listed, correct, erase)
    forget.add_argument("number", metavar="NUMBER", type=int, help="its number; `trackflow events erasures` lists them")
    for parser in (erase, forget):
        parser.add_argument("--yes", action="store_true", help="do not ask")
    for parser in (listed, export):
        parser.add_argument("--csv", action="store_true", help="as CSV, with a head line")
    for parser in (get, listed, correct, erase, erasures, forget):
        parser.add_argument("--json", action="store_true", help="as JSON; of many events, an object a line")


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--site", default="", help="only this site")
    parser.add_argument("--name", default="", help="only events of this name")
    parser.add_argument("--user", default="", help="only of this user, by the site's own id")
    parser.add_argument("--visitor", default="", metavar="HEX", help="only of this visitor: 16 digits, new every day")
    parser.add_argument("--id", default="", help="only the event of this id")
    parser.add_argument(
        "--from", dest="start", metavar="DATE", help="that happened since 2026-11-01 or 2026-11-01T12:00"
    )
    parser.add_argument("--to", dest="end", metavar="DATE", help="…and before this")


def _add_others(
    listed: argparse.ArgumentParser, correct: argparse.ArgumentParser, erase: argparse.ArgumentParser
) -> None:
    listed.add_argument(
        "--period", help="today, yesterday, or a span back from now: 24h, 7d; without it and a user, visitor or id: 24h"
    )
    listed.add_argument("--limit", type=int, default=50, help="at most so many; 0: all (default: 50)")
    listed.add_argument("--oldest-first", action="store_true", help="begin with the oldest")
    correct.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="set a property")
    correct.add_argument("--unset", action="append", default=[], metavar="NAME", help="take a property away")
    erase.add_argument("--dry-run", action="store_true", help="delete nothing; say how much it would be")
    erase.add_argument("--detach", action="store_true", help="start it and do not wait: trackflow tasks show ID")


def selected(args: argparse.Namespace, now: datetime) -> dict[str, Any]:
    """What the flags mean, as the control socket takes it.

    Raises:
        QueryError: a date that is none, or a period that ends before it begins.
    """
    what = {key: getattr(args, key) for key in ("site", "name", "user", "visitor", "id") if getattr(args, key)}
    if span := getattr(args, "period", None):
        period = spans.period(span, args.start, args.end, now)
        return what | {"from": period.start_ms, "to": period.end_ms}
    for key, text in (("from", args.start), ("to", args.end)):
        if text:
            what[key] = _milliseconds(text, now)
    return what


def _milliseconds(text: str, now: datetime) -> int:
    try:
        date = datetime.fromisoformat(text)
    except ValueError as error:
        raise QueryError(f"{text!r} is no date", "write 2026-11-01 or 2026-11-01T12:00") from error
    return round((date if date.tzinfo else date.replace(tzinfo=now.tzinfo)).timestamp() * 1000)


# -------------------------------------------------------------------- reading


def _get(args: argparse.Namespace) -> int:
    what = {"id": args.id, **({"site": args.site} if args.site else {})}
    with connect(args) as client:
        found = client.call("events", what=what, limit=MAX_PAGE)["rows"]
    if not found:
        raise QueryError(f"the store has no event {args.id!r}", "`trackflow flush` stores what is on its way")
    if args.json:
        say("\n".join(to_json(event, 2) for event in found))
    else:
        style = Style.of(sys.stdout)
        say("\n\n".join("\n".join(described(event, style)) for event in found))
    return 0


def described(event: Event, style: Style) -> list[str]:
    """Everything of an event that says something, a line each."""
    rows = [
        [style.dim(name), clean(to_json(value) if isinstance(value, dict) else value)]
        for name, value in event.items()
        if value not in ("", 0, {}, None)
    ]
    return table(rows)


def _list(args: argparse.Namespace) -> int:
    if args.limit < 0:
        raise ConfigError("--limit: 0 or more was expected", "0 shows all")
    what = selected(args, now := datetime.now().astimezone())
    if not {"user", "visitor", "id", "from", "to"} & what.keys():
        period = spans.period("24h", None, None, now)
        what |= {"from": period.start_ms, "to": period.end_ms}
    with connect(args) as client:
        found = paged(client, what, args.limit, not args.oldest_first)
        if args.csv:
            _write_csv(found)
        elif args.json:
            for event in found:
                say(to_json(event))
        else:
            say("\n".join(_lines(list(found), args.limit, Style.of(sys.stdout))))
    return 0


def paged(client: Client, what: Mapping[str, Any], limit: int, newest: bool) -> Iterator[Event]:
    """Events of a selection, fetched as they are wanted.

    Args:
        limit: at most so many; 0: all.
    """
    after, left = "", limit
    while True:
        most = min(left, _PAGE) if limit else _PAGE
        page = client.call("events", what=dict(what), limit=most, after=after, newest=newest)
        yield from page["rows"]
        left, after = left - len(page["rows"]), page["next"]
        if not after or (limit and left <= 0):
            return


def _lines(found: Sequence[Event], limit: int, style: Style) -> list[str]:
    if not found:
        return ["no such event; without --period, --from, a user, a visitor or an id, the last 24 hours are looked at"]
    head = ("time (UTC)", "site", "name", "path", "visitor", "user", "id")
    top, *rows = table([_row(event) for event in found], head)
    full = len(found) == limit
    total = f"{count(len(found))} event{'' if len(found) == 1 else 's'}" + ("; more: --limit 0" if full else "")
    return [style.dim(top), *rows, style.dim(total)]


def _row(event: Event) -> list[str]:
    return [
        clean(event["time"]),
        fit(clean(event["site"]), 24),
        fit(clean(event["name"]), 20),
        fit(clean(event["path"]), 40),
        clean(event["visitor"]),
        fit(clean(event["user_id"]), 24),
        clean(event["event_id"]),
    ]


def _write_csv(found: Iterator[Event]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(SHOWN)
    for event in found:
        writer.writerow([to_json(value) if isinstance(value, dict) else value for value in map(event.get, SHOWN)])


def _export(args: argparse.Namespace) -> int:
    if not (args.user or args.visitor):
        raise ConfigError("whose events? say --user or --visitor", "`trackflow events list` lists anybody's")
    with connect(args) as client:
        found = paged(client, selected(args, datetime.now().astimezone()), 0, newest=False)
        if args.csv:
            _write_csv(found)
        else:
            for event in found:
                say(to_json(event))
    return 0


# ------------------------------------------------------------------ correcting


def _correct(args: argparse.Namespace) -> int:
    pairs = [text.partition("=") for text in args.set]
    if wrong := [text for text, pair in zip(args.set, pairs, strict=True) if not pair[1] or not pair[0]]:
        raise ConfigError(f"--set {wrong[0]!r}: NAME=VALUE was expected")
    put = {name: value for name, _, value in pairs}
    if not put and not args.unset:
        raise ConfigError("nothing to correct", "say --set NAME=VALUE or --unset NAME; both may be repeated")
    with connect(args) as client:
        value = client.call("event_correct", id=args.id, site=args.site, put=put, drop=args.unset)
    if args.json:
        say(to_json(value, 2))
        return 0
    props = " ".join(f"{clean(name)}={clean(one)}" for name, one in value["event"]["props"].items())
    say(f"{clean(value['event']['event_id'])}  {props or '(no properties)'}")
    if not value["stored"]:
        say("the store is still at it: `trackflow events get` shows when it is done")
    return 0


# --------------------------------------------------------------------- erasing


def _erase(args: argparse.Namespace) -> int:
    what = selected(args, datetime.now().astimezone())
    if not what:
        raise ConfigError(
            "what is to be erased?", "say at least one of --id, --user, --visitor, --site, --name, --from, --to"
        )
    with connect(args) as client:
        if args.dry_run or not args.yes:
            found = client.call("erase_count", what=what)
            if args.dry_run:
                say(to_json({"what": what, **found}) if args.json else "\n".join(met(found, "would be erased")))
                return 0
            if not confirmed(f"{_events(found['events'] + found['waiting'])} of {_words(what)}", args.yes):
                say("nothing was erased")
                return 1
        task: TaskDict = client.call("erase", what=what)
        return see_through(client, task, args, outcome)


def outcome(task: TaskDict, style: Style) -> list[str]:
    """What came of an erasure that has ended."""
    if task["result"] is not None:
        return met(task["result"], "erased")
    return [*unfinished(task, style), "until then, too, nothing it names is stored"]


def met(found: Mapping[str, Any], done: str) -> list[str]:
    """What an erasure met, in lines.

    Args:
        found: its counts.
        done: "erased" or "would be erased".
    """
    lines = [f"{_events(found['events'])} {done} in the store"]
    if found["waiting"]:
        lines.append(f"{_events(found['waiting'])} left out of batches that wait to be stored")
    if found["files"]:
        lines.append(f"{count(found['files'])} of them {done} in quarantine")
    if found.get("swept"):
        lines.append(f"{count(found['swept'])} pages, referrers, … that nothing else used are gone with them")
    if found["unread"]:
        lines.append(
            f"{count(found['unread'])} files in quarantine cannot be searched: see `trackflow quarantine list`, "
            "and drop those that may hold some"
        )
    return lines


def _erasures(args: argparse.Namespace) -> int:
    with connect(args) as client:
        found: Sequence[Event] = client.call("erasures")
    if args.json:
        say(to_json(found, 2))
    elif not found:
        say("nothing was erased so far")
    else:
        style = Style.of(sys.stdout)
        rows = [
            [str(one["number"]), moment(one["until_ms"]), str(one["task"] or "-"), clean(one["state"]) or "-",
             fit(_words(one["what"]), 80)]
            for one in found
        ]  # fmt: skip
        head, *lines = table(rows, ("number", "received up to", "task", "state", "what"), (0, 2))
        say("\n".join([style.dim(head), *lines]))
    return 0


def _forget(args: argparse.Namespace) -> int:
    if not args.yes and not _sure(args.number):
        say("nothing was forgotten")
        return 1
    with connect(args) as client:
        value = client.call("erasure_forget", number=args.number)
    say(
        to_json(value) if args.json else f"erasure {args.number} is forgotten: a replay may bring back what it kept out"
    )
    return 0


def _sure(number: int) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError(f"a replay could then bring back what erasure {number} deleted", "say --yes to go on unasked")
    print(
        f"A replay could then bring back what erasure {number} deleted. Go on? [y/N] ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _events(number: int) -> str:
    return f"{count(number)} event{'' if number == 1 else 's'}"


def _words(what: Mapping[str, Any]) -> str:
    """A selection in words."""
    shown = {key: moment(value) if key in ("from", "to") else clean(value) for key, value in what.items()}
    return ", ".join(f"{key} {value}" for key, value in shown.items())
