"""``trackflow sites``: whose events are taken, and the settings of each; carried to other hosts by export, import."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trackflowd.cli_ask import connect
from trackflowd.cli_parser import Commands
from trackflowd.cli_tasks import moment
from trackflowd.cli_text import Style, clean, say, table, to_json
from trackflowd.client import Client
from trackflowd.errors import ConfigError
from trackflowd.proto.control import MAX_REQUEST
from trackflowd.site import SETTINGS

#: Sites asked for at once.
PAGE = 1000


def add_commands(commands: Commands) -> None:
    """Add this module's commands."""
    group = commands.group(
        "sites",
        "sites and their settings (docs/sites.md)",
        "trackflow sites add example.com origins=https://example.com\ntrackflow sites list\n"
        "trackflow sites set example.com gpc=refuse rate=100\ntrackflow sites export > sites.json",
    )
    listed = group.add(
        "list",
        "the registered sites, and what of each is not the default",
        _list,
        "trackflow sites list\ntrackflow sites list --json | jq -r '.sites[].site'",
    )
    show = group.add(
        "show",
        "every setting of a site",
        _show,
        "trackflow sites show example.com\ntrackflow sites show '*'",
    )
    add = group.add(
        "add",
        "register a site",
        _add,
        "trackflow sites add example.com\n"
        "trackflow sites add example.com origins=https://example.com,https://*.example.com dnt=refuse",
    )
    change = group.add(
        "set",
        "change settings of a site; the workers know within a second",
        _set,
        "trackflow sites set example.com gpc=refuse retention_days=400\n"
        "trackflow sites set example.com query_params=q,page exclude_paths=/admin/*\n"
        "trackflow sites set example.com --unset rate\ntrackflow sites set '*' bot_policy=refuse",
    )
    remove = group.add(
        "remove",
        "forget a site and its settings; its events stay",
        _remove,
        "trackflow sites remove example.com\ntrackflow sites remove example.com --revoke-keys",
    )
    for parser in (show, add, change, remove):
        site = 'its id, which events name as "site"'
        parser.add_argument("site", metavar="SITE", help=site if parser is add else site + "; *: those not registered")
    for parser in (add, change):
        names = ", ".join(SETTINGS)
        parser.add_argument("settings", metavar="NAME=VALUE", nargs="*", help=f"{names}; lists with commas")
    change.add_argument(
        "--unset", action="append", default=[], choices=tuple(SETTINGS), metavar="NAME", help="the default again"
    )
    remove.add_argument("--revoke-keys", action="store_true", help="have its keys not work any more, too")
    for parser in (listed, show, add, change, remove, *_add_carrying(group)):
        parser.add_argument("--json", action="store_true", help="as JSON")


def _add_carrying(group: Commands) -> tuple[argparse.ArgumentParser, ...]:
    export = group.add(
        "export",
        "write sites as JSON, for other hosts",
        _export,
        "trackflow sites export > sites.json\ntrackflow sites export --keys > sites.json",
    )
    export.add_argument("--keys", action="store_true", help="with the hashes of keys, so that keys work there, too")
    fetch = group.add(
        "import",
        "take on what `sites export` wrote on another host, all of it or nothing",
        _import,
        "trackflow sites import sites.json --dry-run\nssh other trackflow sites export --keys | "
        "trackflow sites import - --replace",
    )
    fetch.add_argument("file", metavar="FILE", help="of `sites export`; - reads it from standard input")
    fetch.add_argument("--replace", action="store_true", help="sites (and keys, if it has some) not in it go")
    fetch.add_argument("--dry-run", action="store_true", help="only say what would change")
    return export, fetch


# ---------------------------------------------------------------------- looking


def _list(args: argparse.Namespace) -> int:
    with connect(args) as client:
        found = _all(client)
    if args.json:
        say(to_json(found, 2))
        return 0
    style = Style.of(sys.stdout)
    rows = [_row(site) for site in found["sites"]]
    head, *lines = table(rows, ("site", "keys", "changed", "settings"), (1,))
    mode = clean(found["mode"])
    whose = "events of any site are taken" if mode == "open" else "only events of these are taken, not of *"
    say("\n".join([f"mode {style.bold(mode)}: {whose}", "", style.dim(head), *lines]))
    return 0


def _all(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.call("sites", limit=PAGE)
    following = found.pop("next")
    while following:
        page = client.call("sites", limit=PAGE, after=following)
        found["sites"] += page["sites"]
        following = page["next"]
    return found


def _row(site: Mapping[str, Any]) -> list[str]:
    own = {name: value for name, value in _read(site).items() if value != SETTINGS[name].default}
    words = " ".join(f"{name}={_text(name, value)}" for name, value in own.items())
    changed = moment(site["changed_ms"]) if site["changed_ms"] else "never"
    return [clean(site["site"]), str(site["keys"]), changed, clean(words) if words else "all as by default"]


def _read(site: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by name, those this version knows."""
    return {name: SETTINGS[name].read(value) for name, value in site["settings"].items() if name in SETTINGS}


def _text(name: str, value: Any) -> str:
    return SETTINGS[name].write(SETTINGS[name].read(value)) or '""'


def _show(args: argparse.Namespace) -> int:
    with connect(args) as client:
        site = client.call("site", site=args.site)
    if args.json:
        say(to_json(site, 2))
        return 0
    style = Style.of(sys.stdout)
    made = f"registered {moment(site['created_ms'])}, " if site["created_ms"] else ""
    changed = f"changed {moment(site['changed_ms'])}" if site["changed_ms"] else "never changed"
    keys = _keys(site["keys"])
    lines = [f"{style.bold(clean(site['site']))}: {made}{changed}, {keys}"]
    wide = max(map(len, SETTINGS))
    for name, value in _read(site).items():
        text = clean(_text(name, value))
        lines.append(f"  {name:{wide}}  {text if value == SETTINGS[name].default else style.name(text)}")
    say("\n".join(lines))
    return 0


# --------------------------------------------------------------------- changing


def _given(words: list[str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"{word!r} is no NAME=VALUE", "as in gpc=refuse; lists with commas")
        if name in given:
            raise ConfigError(f"{name} is given twice")
        given[name] = value
    return given


def _add(args: argparse.Namespace) -> int:
    with connect(args) as client:
        site = client.call("site_add", site=args.site, settings=_given(args.settings))
    return _done(args, site, f"site {clean(site['site'])} is registered")


def _set(args: argparse.Namespace) -> int:
    given = _given(args.settings) | dict.fromkeys(args.unset)
    if not given:
        raise ConfigError("nothing to change", f"as in: trackflow sites set {args.site} gpc=refuse, or --unset gpc")
    with connect(args) as client:
        site = client.call("site_set", site=args.site, settings=given)
    return _done(args, site, "\n".join(_differences(site["changed"])) or "nothing has changed: it was so already")


def _differences(changed: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [f"{name}: {_shown(name, one['old'])} -> {_shown(name, one['new'])}" for name, one in changed.items()]


def _shown(name: str, value: Any) -> str:
    return clean(_text(name, value) if name in SETTINGS else str(value))


def _remove(args: argparse.Namespace) -> int:
    with connect(args) as client:
        value = client.call("site_remove", site=args.site, revoke_keys=args.revoke_keys)
    gone = len(value["revoked"])
    said = "has the default settings again" if args.site == "*" else "is removed; its events stay"
    return _done(args, value, f"site {clean(args.site)} {said}" + (f", {_keys(gone)} revoked" if gone else ""))


def _keys(number: int) -> str:
    return "1 key" if number == 1 else f"{number} keys"


def _done(args: argparse.Namespace, value: Mapping[str, Any], text: str) -> int:
    say(to_json(value, 2) if args.json else text)
    warn(value)
    return 0


def warn(value: Mapping[str, Any]) -> None:
    """Say it where the workers do not know of a change yet."""
    if not value.get("published", True):
        print(
            "written down, but the disk takes no new snapshot for the workers: they know once there is room "
            "(`trackflow log` says more)",
            file=sys.stderr,
        )


# --------------------------------------------------------------------- carrying


def _export(args: argparse.Namespace) -> int:
    with connect(args) as client:
        say(to_json(client.call("sites_export", keys=args.keys), 2))
    return 0


def _import(args: argparse.Namespace) -> int:
    document = _document(args.file)
    with connect(args) as client:
        value = client.call("sites_import", document=document, replace=args.replace, dry_run=args.dry_run)
    changes = value["changes"]
    lines = [line for change in changes for line in _change(change)]
    tense = "would change" if args.dry_run else "changed"
    lines.append(f"{len(changes)} {tense}, {value['same']} are the same" if changes else "nothing to change")
    return _done(args, value, "\n".join(lines))


def _document(name: str) -> dict[str, Any]:
    try:
        raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        value = json.loads(raw)
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name} is not JSON: {error}", "it is what `trackflow sites export` writes") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{name} is no export of sites", "it is what `trackflow sites export` writes")
    if len(json.dumps(value)) > MAX_REQUEST - 4096:
        raise ConfigError(
            f"{name} is larger than the {MAX_REQUEST} bytes a request may have", "import it in parts, without --replace"
        )
    return value


def _change(change: Mapping[str, Any]) -> list[str]:
    if "key" in change:
        return [f"key {change['key']} ({clean(change['name'])} of {clean(change['site'])}): {clean(change['change'])}"]
    head = f"site {clean(change['site'])}: {clean(change['change'])}"
    return [head, *(f"  {line}" for line in _differences(change["settings"]))]
