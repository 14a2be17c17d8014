"""What an option may be: its kinds, how each is read and how it is written.

An option is an attribute of a section in ``config``, declared with ``option(...)``. The same
``Kind`` reads a value from TOML, from the environment and from ``--set``: a text from the latter
two is read as TOML's own value would be ("30s", "64MiB", "true", "a,b"). Everything that can be
wrong with a value is said here, as "what it must be", never only as "invalid".
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from trackflowd.counters import MAX_SITES
from trackflowd.endpoint import read_endpoint, split_address

Value = str | int | float | bool | tuple[str, ...] | None

#: Units of a duration, in seconds.
SECONDS: Mapping[str, float] = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

#: Units of a size, in bytes: MB is 10^6 and MiB 2^20, as IEC 80000-13 has it.
BYTES: Mapping[str, int] = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)\Z")
_PATH = re.compile(r"/[A-Za-z0-9._~/-]{1,127}\Z")
_SITE = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z")
_STORES = ("chdb", "clickhouse", "clickhouses", "postgresql", "postgres", "null")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value.

    Args:
        name: as the docs call it.
        read: any value from TOML, or a text, to the value; ValueError's text says what it must be.
        write: the value as TOML.
        secret: the value may hold a password: no message repeats it.
    """

    name: str
    read: Callable[[object], Value]
    write: Callable[[Any], str]
    secret: bool = False

    def say(self, value: Value) -> str:
        """Value as in a sentence: 30s, 64KiB."""
        return self.write(value).strip('"')


@dataclass(frozen=True, slots=True)
class Spec:
    """What an ``option(...)`` declares beside its default."""

    kind: Kind
    help: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    reload: bool


def option(
    default: Any,
    kind: Kind,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    reload: bool = False,
) -> Any:
    """Declare an option of a section.

    Args:
        default: its value where nobody sets one, in the kind's own type.
        kind: one of the kinds below.
        help: one or two sentences for the docs and the example file.
        low, high: inclusive bounds of a number, seconds or bytes.
        choices: the only texts allowed.
        reload: True if running processes take a new value without a restart (``reload``).
    """
    return dataclasses.field(default=default, metadata={"spec": Spec(kind, help, low, high, choices, reload)})


def check(spec: Spec, value: Value) -> None:
    """ValueError, saying what is right, where value is outside spec's choices or bounds."""
    if spec.choices and value not in spec.choices:
        raise ValueError("must be one of " + ", ".join(f'"{choice}"' for choice in spec.choices))
    if isinstance(value, int | float):
        if spec.low is not None and value < spec.low:
            raise ValueError(f"must be at least {spec.kind.say(spec.low)}")
        if spec.high is not None and value > spec.high:
            raise ValueError(f"must be at most {spec.kind.say(spec.high)}")


def quote(text: str) -> str:
    """Text as a TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\u{ord(match.group()):04x}", escaped) + '"'


def _read_text(raw: object) -> str:
    if not isinstance(raw, str):
        raise ValueError("must be a text in quotes")
    return raw


def _read_flag(raw: object) -> bool:
    if isinstance(raw, str):
        raw = {"true": True, "false": False}.get(raw.lower())
    if not isinstance(raw, bool):
        raise ValueError("must be true or false")
    return raw


def _read_count(raw: object) -> int:
    if isinstance(raw, str) and re.fullmatch(r"\d{1,15}", raw):
        return int(raw)
    if isinstance(raw, bool) or not isinstance(raw, int) or raw < 0:
        raise ValueError("must be a whole number, 0 or more")
    return raw


def _read_seconds(raw: object) -> float:
    if isinstance(raw, str) and (match := _AMOUNT.match(raw)):
        unit = SECONDS.get(match[2] or "s")
        if unit is not None:
            return float(match[1]) * unit
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 <= raw < 1e12:
        raise ValueError('must be a duration such as "500ms", "30s", "5m" or a number of seconds')
    return float(raw)


def _write_seconds(value: float) -> str:
    for unit in ("d", "h", "m"):
        if value and value % SECONDS[unit] == 0:
            return f'"{value / SECONDS[unit]:.0f}{unit}"'
    if value % 1:
        return f'"{value * 1000:g}ms"'
    return f'"{value:.0f}s"'


def _read_bytes(raw: object) -> int:
    if isinstance(raw, str) and (match := _AMOUNT.match(raw)):
        unit = BYTES.get(match[2] or "B")
        if unit is not None:
            return int(float(match[1]) * unit)
    if isinstance(raw, bool) or not isinstance(raw, int) or raw < 0:
        raise ValueError('must be a size such as "64KiB", "16MiB", "2GiB" or a number of bytes')
    return raw


def _write_bytes(value: float) -> str:
    for unit in ("GiB", "MiB", "KiB"):
        if value and value % BYTES[unit] == 0:
            return f'"{value / BYTES[unit]:.0f}{unit}"'
    return f"{value:.0f}"


def read_list(raw: object) -> tuple[str, ...]:
    """A list of texts, or a text of them with commas between; ValueError says what it must be."""
    if isinstance(raw, str):
        raw = [part.strip() for part in raw.split(",") if part.strip()]
    if not isinstance(raw, list | tuple) or not all(isinstance(item, str) for item in raw):
        raise ValueError('must be a list of texts such as ["one", "two"]')
    return tuple(raw)


def _write_list(value: tuple[str, ...]) -> str:
    return "[" + ", ".join(quote(item) for item in value) + "]"


def _read_address(raw: object) -> str:
    text = _read_text(raw)
    if text:
        split_address(text)
    return text


def _read_addresses(raw: object) -> tuple[str, ...]:
    items = read_list(raw)
    if not items:
        raise ValueError('must name at least one "host:port"')
    for item in items:
        read_endpoint(item)
    return tuple(" ".join(item.split()) for item in items)


def _read_networks(raw: object) -> tuple[str, ...]:
    items = read_list(raw)
    for item in items:
        try:
            ipaddress.ip_network(item)
        except ValueError:
            try:
                near = ipaddress.ip_network(item, strict=False)
            except ValueError:
                raise ValueError('must be a list of networks such as ["127.0.0.0/8", "::1/128"]') from None
            raise ValueError(f'"{item}" has bits set past its mask; the network is "{near}"') from None
    return items


def _read_path(raw: object) -> str:
    text = _read_text(raw)
    if not _PATH.match(text) or "//" in text:
        raise ValueError('must be a path such as "/v1/events": "/", then letters, digits and . _ ~ / -')
    return text


def _read_paths(raw: object) -> tuple[str, ...]:
    items = tuple(_read_path(item) for item in read_list(raw))
    if not items:
        raise ValueError('must name at least one path such as "/v1/events"')
    return items


def _read_files(raw: object) -> tuple[str, ...]:
    items = read_list(raw)
    if not all(item.startswith("/") and "\0" not in item for item in items):
        raise ValueError('must be a list of absolute paths such as ["/etc/trackflow/fullchain.pem"]')
    return items


def _read_sites(raw: object) -> tuple[str, ...]:
    items = read_list(raw)
    if not all(map(_SITE.match, items)) or len(set(items)) != len(items):
        raise ValueError('must be a list of different sites such as ["example.com"]: letters, digits and . _ : -')
    if len(items) > MAX_SITES:
        raise ValueError(f"must name at most {MAX_SITES} sites")
    return items


def _read_webhook(raw: object) -> str:
    text = _read_text(raw)
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if text and not (right and text.isascii() and text.isprintable() and " " not in text):
        raise ValueError('must be a url such as "https://example.com/hooks/1"')
    return text


def _each_host(url: str) -> list[str]:
    """A url of its own for each of several hosts with commas between, where the store is one that may have them."""
    scheme, _, rest = url.partition("://")
    if scheme not in ("clickhouse", "clickhouses"):
        return [url]
    place, slash, path = rest.partition("/")
    user, at, hosts = place.rpartition("@")
    return [f"{scheme}://{user}{at}{host}{slash}{path}" for host in hosts.split(",")]


def _is_store(url: str) -> bool:
    try:
        parts = urlsplit(url)
        server = parts.scheme not in ("chdb", "null")
        by_socket = parts.scheme in ("postgresql", "postgres") and "host=/" in parts.query
        right = parts.scheme in _STORES and ":" in url and (bool(parts.hostname) or by_socket) == server
        return right and (parts.port is None or server)
    except ValueError:
        return False


def _read_store(raw: object) -> str:
    text = _read_text(raw)
    if not all(map(_is_store, _each_host(text))):
        raise ValueError(
            'must be "chdb:" (embedded), "chdb:///path", "clickhouse://user:password@host:8123/database", '
            '"clickhouses://…" (the same over TLS), "postgresql://user:password@host:5432/database", '
            '"postgresql://user@/database?host=/run/postgresql" (a unix socket) or "null:"'
        )
    return text


TEXT = Kind("text", _read_text, quote)
FLAG = Kind("true or false", _read_flag, lambda value: "true" if value else "false")
COUNT = Kind("number", _read_count, lambda value: f"{value:.0f}")
DURATION = Kind("duration", _read_seconds, _write_seconds)
SIZE = Kind("size", _read_bytes, _write_bytes)
ADDRESS = Kind("address", _read_address, quote)
ADDRESSES = Kind("list of addresses", _read_addresses, _write_list)
NETWORKS = Kind("list of networks", _read_networks, _write_list)
FILES = Kind("list of files", _read_files, _write_list)
PATHS = Kind("list of paths", _read_paths, _write_list)
SITES = Kind("list of sites", _read_sites, _write_list)
WEBHOOK = Kind("url", _read_webhook, quote, secret=True)
STORE = Kind("store", _read_store, quote, secret=True)
