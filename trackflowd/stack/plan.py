"""The stack file: which containers there are, and what each store is called from inside and from outside.

::

    name = "trackflow"                 # names of containers, volumes and the network begin with it
    network = "bridge"                 # or "host": every container on the host's own network
    store = "clickhouse"               # unless --store says otherwise

    [stores.clickhouse]
    url = "clickhouse://…@clickhouse:8123/trackflow"      # as the daemon's container reaches it
    outside = "clickhouse://…@127.0.0.1:8123/trackflow"   # as this machine does

    [containers.clickhouse]
    image = "clickhouse/clickhouse-server:26.3"
    when = "clickhouse"                # with this store or this --with only; nothing: always
    needs = []                         # containers that are healthy before this one starts
    command = []                       # instead of the image's own
    env = { NAME = "value" }           # {store} is the url of the store that was picked
    ports = ["127.0.0.1:8123:8123"]    # address of this machine, its port, the container's
    volumes = ["data:/var/lib/x", "./here:/there:ro"]     # a volume's name, or a path seen from the stack file
    files = { "/etc/x.yml" = "text" }  # small files, written by us, mounted read-only
    health = ["wget", "…"]             # run inside; exit code 0: healthy. Nothing: as the image says, or that it runs
    network = "container:daemon"       # share another's network instead
    wait = 120                         # seconds until it must be healthy
    restarts = 5                       # the engine may start it again so often until it is
    stop = 60                          # seconds it may take to end
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from trackflowd.errors import ConfigError

#: The stack that is meant where no file is named.
SHIPPED = Path(__file__).with_name("stack.toml")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}\Z")
_PORT = re.compile(r"(?P<host>[0-9.]+):(?P<outside>\d{1,5}):(?P<inside>\d{1,5})\Z")
_LIKE_PORT = "an address, a port of this machine, a port of the container: 127.0.0.1:8123:8123"
_LIKE_VOLUME = "NAME:/path or ./path:/path, with :ro where it is only read"


class Port(msgspec.Struct, frozen=True):
    """A port of this machine, and the container's it leads to."""

    host: str
    outside: int
    inside: int


class Store(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A store's url, as the daemon's container and as this machine reach it."""

    url: str
    outside: str = ""


class Container(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One container, as the file has it."""

    image: str
    when: str = ""
    needs: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: dict[str, str] = {}
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    files: dict[str, str] = {}
    health: tuple[str, ...] = ()
    network: str = ""
    wait: float = 120.0
    restarts: int = 5
    stop: int = 60

    def bound(self) -> Sequence[Port]:
        """Its ports."""
        found = filter(None, map(_PORT.match, self.ports))
        return [Port(match["host"], int(match["outside"]), int(match["inside"])) for match in found]

    def mark(self) -> str:
        """A hash of all of it: another one means that the container has to be made anew."""
        return hashlib.sha256(json.dumps(msgspec.to_builtins(self), sort_keys=True).encode()).hexdigest()[:16]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    containers: dict[str, Container]
    name: str = "trackflow"
    network: str = "bridge"
    store: str = ""
    stores: dict[str, Store] = {}


@dataclass(frozen=True, slots=True)
class Plan:
    """What the file says, checked.

    Args:
        path: of the file; paths in it are seen from its directory.
        name, network: see above.
        store: the one that is picked; "": none.
        stores: by name.
        containers: by name, each after those it needs.
    """

    path: Path
    name: str
    network: str
    store: str
    stores: Mapping[str, Store]
    containers: Mapping[str, Container]

    def chosen(self, names: Sequence[str] = (), extras: Sequence[str] = ()) -> Mapping[str, Container]:
        """Containers that are meant, each after those it needs.

        Args:
            names: only these and what they need; nothing: all whose ``when`` is empty, the store, or one of extras.
            extras: more words of ``when``.

        Raises:
            ConfigError: one of the names or words is none of the file's.
        """
        words = {container.when for container in self.containers.values()} - set(self.stores)
        for given, known, what in ((names, set(self.containers), "container"), (extras, words - {""}, "--with")):
            for name in given:
                if name not in known:
                    raise ConfigError(f"{self.path}: no {what} {name!r}", f"there are: {', '.join(sorted(known))}")
        wanted = {"", self.store, *extras}
        chosen = set(names) or {name for name, container in self.containers.items() if container.when in wanted}
        for name in reversed(list(self.containers)):  # who needs comes before what is needed
            if name in chosen:
                needs = self.containers[name].needs
                chosen.update(need for need in needs if names or self.containers[need].when in wanted)
        return {name: container for name, container in self.containers.items() if name in chosen}


def load(path: Path, store: str = "") -> Plan:
    """Read a stack file.

    Args:
        path: of the file.
        store: the one to pick instead of the file's.

    Raises:
        ConfigError: there is none, or something in it is wrong.
    """
    try:
        raw: Any = tomllib.loads(path.read_text())
        file = msgspec.convert(raw, _File)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", "name a stack file with --file") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}", "docs/stack.md says what a stack file may hold") from error
    picked = store or file.store
    if picked and picked not in file.stores:
        known = ", ".join(sorted(file.stores)) or "none"
        raise ConfigError(f"{path}: no store {picked!r}", f"stores there are: {known}")
    problem = _problem(file)
    if problem:
        raise ConfigError(f"{path}: {problem}", "docs/stack.md says what a stack file may hold")
    url = file.stores[picked].url if picked else ""
    containers = {name: _filled(file.containers[name], url) for name in _ordered(file.containers)}
    return Plan(path, file.name, file.network, picked, file.stores, containers)


def _filled(container: Container, url: str) -> Container:
    env = {name: value.replace("{store}", url) for name, value in container.env.items()}
    return msgspec.structs.replace(container, env=env)


def _problem(file: _File) -> str:
    """What is wrong, or ""."""
    if not _NAME.match(file.name):
        return f"name = {file.name!r} is not small letters, digits, - and _"
    if file.network not in ("bridge", "host"):
        return f'network = {file.network!r} is not "bridge" or "host"'
    for name, container in file.containers.items():
        if not _NAME.match(name):
            return f"containers.{name}: the name is not small letters, digits, - and _"
        said = _container_problem(container, file.containers)
        if said:
            return f"containers.{name}: {said}"
    if not _ordered(file.containers):
        return "containers: they need one another in a ring" if file.containers else "containers: there is none"
    return ""


def _container_problem(container: Container, all_of_them: Mapping[str, Container]) -> str:
    kind, _, other = container.network.partition(":")
    if container.network and (kind != "container" or other not in container.needs):
        return f'network = {container.network!r} is not "container:NAME" of one it needs'
    if not container.image:
        return "image is empty"
    if not (0 < container.wait <= 3600 and 0 <= container.restarts <= 100 and 0 < container.stop <= 3600):
        return "wait and stop are 1 to 3600 (s), restarts 0 to 100"
    for port in container.ports:
        match = _PORT.match(port)
        if match is None or not all(0 < int(match[part]) < 65536 for part in ("outside", "inside")):
            return f"ports: {port!r} is not {_LIKE_PORT}"
    for volume in container.volumes:
        parts = volume.split(":")
        if len(parts) not in (2, 3) or not parts[0] or not parts[1].startswith("/") or parts[2:] not in ([], ["ro"]):
            return f"volumes: {volume!r} is not {_LIKE_VOLUME}"
    missing = [need for need in container.needs if need not in all_of_them]
    return f"needs: there is no container {missing[0]!r}" if missing else ""


def _ordered(containers: Mapping[str, Container]) -> Sequence[str]:
    """Their names, each after those it needs; empty where there is a ring."""
    order: list[str] = []
    while len(order) < len(containers):
        ready = [
            name
            for name, container in containers.items()
            if name not in order and all(need in order for need in container.needs)
        ]
        if not ready:
            return []
        order += ready
    return order
