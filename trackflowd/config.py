"""How a configuration comes about from the table of options in ``sections``.

What is set later in this list wins: default, file, environment (``TRACKFLOW_SECTION_NAME``),
``--set section.name=value``. A value is checked where it is read, so that the message can name
the file and the line; all that is wrong is said at once. The supervisor hands the finished
``Config`` to its children as ``dump`` writes it; nobody reads the file or the environment a
second time.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import json
import os
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trackflowd.endpoint import read_endpoint
from trackflowd.errors import ConfigError
from trackflowd.option import Kind, Spec, Value, check
from trackflowd.sections import KIB, MAX_WORKERS, MIB, Config, Store

__all__ = ["Config", "Option", "Source", "dump", "load", "load_dump", "options"]

ENV_PREFIX = "TRACKFLOW_"
PAGE = 4096  # a ring's size is a multiple of it
#: Has processes killed at chosen places; only a test launcher understands it.
FAILPOINTS = "TRACKFLOWD_FAILPOINT"
MIN_RING = 64 * KIB  # a record may be an eighth of its ring: this one refuses events above 8 KiB, but wraps often


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table.

    Args:
        section, name: where it is.
        default: in the kind's own type; sizes in bytes, durations in seconds.
        spec: kind, help, bounds, choices and whether it could change without a restart.
    """

    section: str
    name: str
    default: Value
    spec: Spec

    @property
    def key(self) -> str:
        """As ``--set`` names it."""
        return f"{self.section}.{self.name}"

    @property
    def env(self) -> str:
        """As the environment names it."""
        return ENV_PREFIX + f"{self.section}_{self.name}".upper()

    @property
    def kind(self) -> Kind:
        return self.spec.kind


def options() -> tuple[Option, ...]:
    """Every option, in table order."""
    return tuple(
        Option(section.name, field.name, getattr(section.default, field.name), field.metadata["spec"])
        for section in dataclasses.fields(Config)
        for field in dataclasses.fields(section.default)  # type: ignore[arg-type]
    )


OPTIONS: Mapping[str, Option] = {row.key: row for row in options()}
_SECTIONS = tuple(field.name for field in dataclasses.fields(Config))


class _Reading:
    """Values read so far, and everything found wrong on the way."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.places: dict[str, str] = {}
        self.wrong: list[str] = []

    def take(self, key: str, raw: object, place: str) -> None:
        """Read one value; place ("file, line 3", "--set …") opens the message if it is wrong."""
        row = OPTIONS.get(key)
        if row is None:
            self.wrong.append(f"{place}: no option is called {key}{_near(key, OPTIONS)}")
            return
        try:
            value = row.kind.read(raw)
            check(row.spec, value)
        except ValueError as error:
            shown = "" if row.kind.secret else f", not {_shown(raw)}"
            said = _in_a_text(str(error)) if isinstance(raw, str) else str(error)
            self.wrong.append(f"{place}: {key} {said}{shown}")
            return
        self.values[key] = value
        self.places[key] = place

    def clash(self, text: str, *keys: str) -> None:
        """Note a rule that values read before break; keys are the options it is about."""
        places = [self.places[key] for key in keys if key in self.places]
        self.wrong.append(f"{' and '.join(dict.fromkeys(places))}: {text}")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a daemon's options come from, to be read again: arguments of ``load``."""

    path: str | None
    sets: Sequence[str]
    env: Mapping[str, str]

    def load(self, running: Config | None = None) -> Config:
        """See ``load``."""
        return load(self.path, self.sets, self.env, running)


def load(path: str | None, sets: Sequence[str], env: Mapping[str, str], running: Config | None = None) -> Config:
    """The configuration from file, environment and flags, with every "automatic" value worked out.

    Args:
        path: TOML file, or None for none.
        sets: "section.name=value" each, as given to ``--set``.
        env: the environment.
        running: what a daemon runs with that reads its options again: an automatic size of its rings stays.

    Returns:
        A Config in which ``daemon.data_dir`` and ``control.socket`` are absolute paths, and
        ``daemon.workers`` and ``ring.size`` are the figures in effect.

    Raises:
        ConfigError: with one line per mistake: where it is, what is wrong, what would be right.
    """
    _refuse_failpoints(env)
    reading = _Reading()
    if path is not None:
        _take_file(reading, Path(path))
    _take_env(reading, env)
    for text in sets:
        key, equals, raw = text.partition("=")
        if equals:
            reading.take(key.strip(), raw, "--set")
        else:
            reading.wrong.append(f"--set {text}: must be section.name=value")
    if not reading.wrong:
        _check_together(reading)
    if reading.wrong:
        raise ConfigError("\n".join(reading.wrong))
    return _resolve(_build(reading.values), env, running)


def dump(cfg: Config) -> str:
    """Every option of cfg as JSON, for a child process; passwords included."""
    return json.dumps(dataclasses.asdict(cfg))


def load_dump(text: str) -> Config:
    """The Config that ``dump`` wrote.

    Raises:
        ConfigError: not written by ``dump`` of this version.
    """
    _refuse_failpoints(os.environ)
    try:
        values = {f"{name}.{key}": raw for name, keys in json.loads(text).items() for key, raw in keys.items()}
        return _build({key: OPTIONS[key].kind.read(raw) for key, raw in values.items()})
    except (ValueError, KeyError, AttributeError) as error:
        raise ConfigError(f"a configuration not written by this version: {error!r}") from error


def _refuse_failpoints(env: Mapping[str, str]) -> None:
    """A daemon that somebody believes to run with failpoints, and does not, is not started."""
    if FAILPOINTS in env:
        raise ConfigError(
            f"${FAILPOINTS} is set: this daemon has no failpoints",
            "unset it; to test with failpoints start `python -m tests.daemon run` in a source tree",
        )


def _build(values: Mapping[str, Value]) -> Config:
    sections: dict[str, Any] = {}
    for field in dataclasses.fields(Config):
        given = {key.partition(".")[2]: value for key, value in values.items() if key.startswith(field.name + ".")}
        sections[field.name] = dataclasses.replace(field.default, **given)  # type: ignore[type-var]
    return Config(**sections)


def _take_file(reading: _Reading, path: Path) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reading.wrong.append(f"{path}: cannot be read: {error.strerror}")
        return
    except UnicodeDecodeError:
        reading.wrong.append(f"{path}: is not UTF-8")
        return
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reading.wrong.append(f"{path}: is not TOML: {error}")
        return
    lines = _lines(text)
    for section, table in tables.items():
        place = f"{path}, line {lines.get(section) or lines.get(section + '.') or '?'}"
        if section not in _SECTIONS:
            reading.wrong.append(f"{place}: no section is called {section}{_near(section, _SECTIONS)}")
        elif not isinstance(table, dict):
            reading.wrong.append(f"{place}: {section} is a section, written [{section}] on a line of its own")
        else:
            for name, raw in table.items():
                key = f"{section}.{name}"
                reading.take(key, raw, f"{path}, line {lines.get(key) or lines.get(key + '.') or '?'}")


def _lines(text: str) -> dict[str, int]:
    """Line number of each section ("http.") and key ("http.listen") of a TOML text tomllib has taken."""
    found: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\[?\s*([A-Za-z0-9_.\"'-]+)\s*\]", line):
            section = re.sub("[\"']", "", header[1]) + "."
            found.setdefault(section, number)
        elif key := re.match(r"\s*([A-Za-z0-9_.\"' -]+?)\s*=", line):
            name = section + re.sub("[\"' ]", "", key[1])
            found.setdefault(name, number)
            found.setdefault(name.partition(".")[0] + ".", number)
    return found


def _take_env(reading: _Reading, env: Mapping[str, str]) -> None:
    """Read TRACKFLOW_SECTION_NAME. A name under no section of ours is let be, unless it is a slip of one of ours: it
    may be another program's (Kubernetes sets TRACKFLOW_SERVICE_HOST and the like for a service called "trackflow").
    """
    known = {row.env: key for key, row in OPTIONS.items()}
    for name in sorted(env):
        if name in known:
            reading.take(known[name], env[name], f"${name}")
        elif name.startswith(tuple(f"{ENV_PREFIX}{section.upper()}_" for section in _SECTIONS)):
            reading.wrong.append(f"${name}: no option has this name{_near(name, known, '$')}")
        elif name.startswith(ENV_PREFIX) and (meant := _slip(name, known)):
            reading.wrong.append(f"${name}: no option has this name; did you mean ${meant}?")


def _slip(name: str, known: Mapping[str, str]) -> str:
    """The variable that was meant, where only its section is misspelt; "": none."""
    words = name.removeprefix(ENV_PREFIX).replace("__", "_")
    section, _, rest = words.partition("_")
    near = difflib.get_close_matches(section.lower(), _SECTIONS, 1, 0.6)
    meant = f"{ENV_PREFIX}{near[0].upper()}_{rest}" if near else ""
    return meant if meant in known else ""


def _check_together(reading: _Reading) -> None:
    """Rules that hold between options."""
    cfg = _build(reading.values)
    paths = ("http.event_path", "http.script_path", "http.pixel_path")
    for first, second in itertools.combinations(paths, 2):
        if set(_get(cfg, first)) & set(_get(cfg, second)):
            reading.clash(f"{first} and {second} must be different paths", first, second)
    for small, large in (("http.max_url", "http.max_head"), ("http.max_body", "http.max_inflight")):
        if _get(cfg, small) > _get(cfg, large):
            reading.clash(f"{small} must not be above {large}", small, large)
    if cfg.ring.size and cfg.ring.size < MIN_RING:
        reading.clash(f"ring.size must be 0 (automatic) or at least {MIN_RING // KIB}KiB", "ring.size")
    if cfg.sites.address_burst and (cfg.sites.address_burst < 1 or not cfg.sites.address_rate):
        reading.clash("sites.address_burst must be at least 1, and goes with sites.address_rate", "sites.address_burst")
    _check_cluster(reading, cfg.store)
    _check_tls(reading, cfg)


def _check_tls(reading: _Reading, cfg: Config) -> None:
    if any(read_endpoint(text).tls for text in cfg.http.listen) and not cfg.tls.certificate:
        reading.clash("a listener with tls needs a tls.certificate", "http.listen")
    if len(cfg.tls.key) not in (0, len(cfg.tls.certificate)):
        text = f"tls.key names {len(cfg.tls.key)} files and tls.certificate {len(cfg.tls.certificate)}: one for each"
        reading.clash(text, "tls.key", "tls.certificate")


def _check_cluster(reading: _Reading, store: Store) -> None:
    hosts = store.url.partition("://")[2].partition("/")[0].rpartition("@")[2].split(",")
    if not store.cluster and (len(hosts) > 1 or store.replicas > 1):
        reading.clash("several hosts and replicas need a store.cluster", "store.url", "store.replicas")
    elif store.cluster and not store.url.startswith(("clickhouse://", "clickhouses://")):
        reading.clash("store.cluster needs a clickhouse:// url", "store.url", "store.cluster")
    elif len(hosts) % store.replicas:
        text = f"store.url names {len(hosts)} hosts, which must divide by store.replicas = {store.replicas}"
        reading.clash(text, "store.url", "store.replicas")


def _get(cfg: Config, key: str) -> Any:
    section, _, name = key.partition(".")
    return getattr(getattr(cfg, section), name)


def _resolve(cfg: Config, env: Mapping[str, str], running: Config | None) -> Config:
    """Cfg with every value that means "automatic" replaced by the one in effect."""
    data_dir = Path(cfg.daemon.data_dir or _default_data_dir(env)).expanduser().absolute()
    workers = cfg.daemon.workers or min(len(os.sched_getaffinity(0)), MAX_WORKERS)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    size = cfg.ring.size or (running.ring.size if running else ring_size(memory, workers))
    return dataclasses.replace(
        cfg,
        daemon=dataclasses.replace(cfg.daemon, data_dir=str(data_dir), workers=workers),
        control=dataclasses.replace(cfg.control, socket=cfg.control.socket or str(data_dir / "control.sock")),
        ring=dataclasses.replace(cfg.ring, size=-(-size // PAGE) * PAGE),
    )


def _default_data_dir(env: Mapping[str, str]) -> str:
    if state := env.get("STATE_DIRECTORY", "").partition(":")[0]:  # systemd lists several with colons
        return state
    return "/var/lib/trackflow" if os.geteuid() == 0 else "~/.local/share/trackflow"


def ring_size(memory: int, workers: int) -> int:
    """Automatic size of a ring in bytes: memory/32 within 16 and 256 MiB, all rings at most memory/10, whole MiB."""
    size = min(max(memory // 32, 16 * MIB), 256 * MIB)
    return max(min(size, memory // 10 // workers), MIB) // MIB * MIB


def _near(name: str, names: Mapping[str, object] | Sequence[str], mark: str = "") -> str:
    """Text that offers what was probably meant, or nothing."""
    elsewhere = [key for key in names if "." in name and key.partition(".")[2] == name.partition(".")[2]]
    close = elsewhere or difflib.get_close_matches(name, list(names), 1, 0.6)
    return f"; did you mean {mark}{close[0]}?" if close else ""


def _in_a_text(said: str) -> str:
    """What a value must be, lists as flags and the environment have them: "one,two"."""
    return re.sub(r'\["[^]]*"\]', lambda found: '"' + ",".join(json.loads(found[0])) + '"', said)


def _shown(raw: object) -> str:
    text = json.dumps(raw, default=str)
    return text if len(text) <= 60 else text[:57] + "…"


if __name__ == "__main__":
    from trackflowd.config_text import main

    sys.exit(main(sys.argv[1:]))
