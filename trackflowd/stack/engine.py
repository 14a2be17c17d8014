"""The Docker engine, as far as a stack needs it: the one module that knows Docker's library (extra ``docker``).

It is found as every Docker tool finds it: ``DOCKER_HOST``, else the socket of this machine.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from trackflowd.errors import StackError
from trackflowd.stack.phase import Seen
from trackflowd.stack.plan import Container, Plan

#: Labels of what is ours.
STACK, CONTAINER, MARK = "trackflow.stack", "trackflow.container", "trackflow.mark"
_SOCKET = "unix:///var/run/docker.sock"
_SECOND = 10**9  # the engine counts in ns
_NO_ENGINE = "start it (systemctl start docker), install it (apt-get install docker.io), or name another by DOCKER_HOST"
_NOT_ALLOWED = "type it as root, or become one of the group docker: usermod -aG docker $USER, then log in again"
#: What the engine says of a registry it cannot reach.
_NO_NETWORK = re.compile(r"dial tcp|no such host|lookup .* on|timeout|connection refused|unreachable|EOF", re.I)


class Engine:
    """A connection to the engine.

    Args:
        plan: the stack that is meant; nothing of another is looked at or touched.

    Raises:
        StackError: Docker's library or the engine is not there, or does not let us.
    """

    def __init__(self, plan: Plan) -> None:
        try:
            import docker
        except ImportError as error:
            hint = "install it: pip install 'trackflowd[docker]', or `make install` in a checkout"
            raise StackError("Docker's library for Python is not here", hint) from error
        self._plan = plan
        self._errors = docker.errors
        _knock(os.environ.get("DOCKER_HOST") or _SOCKET)
        try:
            self._client: Any = docker.from_env(version="auto", timeout=120)
        except docker.errors.DockerException as error:
            raise StackError(f"no Docker engine answers: {_short(error)}", _NO_ENGINE) from error
        self._types = docker.types

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            yield
        except self._errors.APIError as error:
            raise StackError(f"{what}: {_short(error)}") from error
        except (self._errors.DockerException, OSError) as error:  # requests' errors are OSErrors
            raise StackError(f"{what}: the Docker engine went away: {_short(error)}", _NO_ENGINE) from error

    # -------------------------------------------------------------- questions

    def look(self) -> dict[str, Seen]:
        """Every container of the stack there is, by its name in the file."""
        with self._asking("containers"):
            rows = self._client.api.containers(all=True, filters={"label": f"{STACK}={self._plan.name}"})
        found = {}
        for row in rows:
            with self._asking(row["Id"][:12]):
                try:
                    value = self._client.api.inspect_container(row["Id"])
                except self._errors.NotFound:
                    continue  # removed in between
            found[row["Labels"][CONTAINER]] = _seen(value)
        return found

    def figures(self, number: str) -> dict[str, float]:
        """What a running container uses: cpu (1: a whole one), memory and its limit (bytes); it takes a second or two.

        Args:
            number: the engine's id of it.
        """
        with self._asking("figures"):
            try:
                value = self._client.api.stats(number, stream=False)
            except self._errors.NotFound:
                return {}
        now, before = value.get("cpu_stats", {}), value.get("precpu_stats", {})
        spent = now.get("cpu_usage", {}).get("total_usage", 0) - before.get("cpu_usage", {}).get("total_usage", 0)
        passed = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
        memory = value.get("memory_stats", {})
        cache = memory.get("stats", {}).get("total_inactive_file", memory.get("stats", {}).get("inactive_file", 0))
        return {
            "cpu": round(spent / passed * now.get("online_cpus", 1), 4) if passed > 0 and spent >= 0 else 0.0,
            "memory": max(memory.get("usage", 0) - cache, 0),
            "memory_limit": memory.get("limit", 0),
        }

    def logs(self, number: str, tail: int, follow: bool = False) -> Iterator[bytes]:
        """What a container has said, in pieces; follow: and what it says from now on."""
        with self._asking("logs"):
            said = self._client.api.logs(number, stdout=True, stderr=True, tail=tail, stream=follow, follow=follow)
            yield from said if follow else (said,)

    def has(self, image: str) -> bool:
        """Whether an image is there."""
        with self._asking(image):
            try:
                self._client.api.inspect_image(image)
            except self._errors.ImageNotFound:
                return False
        return True

    # ---------------------------------------------------------------- actions

    def pull(self, image: str, told: Callable[[int, int], None]) -> None:
        """Fetch an image.

        Args:
            image: with its tag.
            told: called with bytes that are there and bytes there are, as far as is known.

        Raises:
            StackError: nobody has it, or nobody can be reached.
        """
        name, _, tag = image.rpartition(":") if ":" in image.rpartition("/")[2] else (image, "", "latest")
        layers: dict[str, tuple[int, int]] = {}
        try:
            for line in self._client.api.pull(name, tag=tag, stream=True, decode=True):
                if "error" in line:
                    raise StackError(line["error"])
                detail = line.get("progressDetail") or {}
                if line.get("status") == "Downloading" and detail.get("total"):
                    layers[line["id"]] = (detail["current"], detail["total"])
                    told(*map(sum, zip(*layers.values(), strict=True)))
        except (self._errors.DockerException, StackError, OSError) as error:
            said = _short(error)
            if _NO_NETWORK.search(said):
                hint = f"load it from a machine that has it: docker save {image} | ssh HERE docker load"
                raise StackError(f"image {image} is not here, and no registry can be reached: {said}", hint) from error
            hint = f"build it under this name (docs/stack.md), or name another as `image` in {self._plan.path}"
            raise StackError(f"image {image} is not here and cannot be fetched: {said}", hint) from error

    def start(self, name: str, container: Container, files: Path, seen: Seen | None) -> None:
        """Start a container, made anew where there is none or it was made otherwise.

        Args:
            name: of the container.
            container: what it is.
            files: directory with its small files.
            seen: what the engine has of it now.

        Raises:
            StackError: with what to do where a port is taken.
        """
        if seen is not None and seen.mark != container.mark():
            self.stop(seen.id, container.stop)
            self.remove(seen.id)
            seen = None
        self._check_ports(name, container)
        with self._asking(name):
            if seen is None:
                self._network()
                number = self._client.api.create_container(**self._recipe(name, container, files))["Id"]
            else:
                number = seen.id
            self._client.api.start(number)

    def _check_ports(self, name: str, container: Container) -> None:
        for port in container.bound():
            with socket.socket() as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    tried.bind((port.host, port.outside))
                except OSError as error:
                    hint = f"see who has it: ss -ltnp 'sport = :{port.outside}'; or change `ports` in {self._plan.path}"
                    text = f"{name}: {port.host}:{port.outside} cannot be had: {error.strerror}"
                    raise StackError(text, hint) from error

    def _network(self) -> None:
        if self._plan.network == "bridge" and not self._client.api.networks(names=[f"^{self._plan.name}$"]):
            self._client.api.create_network(self._plan.name, driver="bridge", labels={STACK: self._plan.name})

    def _recipe(self, name: str, container: Container, files: Path) -> dict[str, Any]:
        """Arguments of the library's ``create_container``."""
        plan, api = self._plan, self._client.api
        shared = container.network.partition(":")[2]
        bridged = plan.network == "bridge" and not shared
        mode = f"container:{plan.name}-{shared}" if shared else plan.name if bridged else "host"
        host = api.create_host_config(
            network_mode=mode,
            binds=[*map(self._bind, container.volumes), *(f"{files / path[1:]}:{path}:ro" for path in container.files)],
            port_bindings={port.inside: (port.host, port.outside) for port in container.bound()} if bridged else None,
            # It doubles its pause from 100 ms to a minute, and starts what ran when it begins again itself.
            restart_policy={"Name": "unless-stopped"},
        )
        health = None
        if container.health:
            test = ["CMD", *container.health]
            patience = int(container.wait * _SECOND)
            health = self._types.Healthcheck(test=test, interval=_SECOND, timeout=5 * _SECOND, start_period=patience)
        return {
            "image": container.image,
            "command": list(container.command) or None,
            "name": f"{plan.name}-{name}",
            "environment": container.env,
            "ports": [port.inside for port in container.bound()] if bridged else None,
            "host_config": host,
            "healthcheck": health,
            "networking_config": api.create_networking_config({plan.name: api.create_endpoint_config(aliases=[name])})
            if bridged
            else None,
            "labels": {STACK: plan.name, CONTAINER: name, MARK: container.mark()},
        }

    def _bind(self, volume: str) -> str:
        source, _, rest = volume.partition(":")
        if source.startswith((".", "/")):
            return f"{(self._plan.path.parent / source).resolve()}:{rest}"
        return f"{self._plan.name}-{source}:{rest}"

    def stop(self, number: str, seconds: int) -> None:
        """Ask a container to end, and end it after so many seconds."""
        with self._asking("stop"):
            self._client.api.stop(number, timeout=seconds)

    def remove(self, number: str) -> None:
        """Remove a container that has ended; its volumes stay."""
        with self._asking("remove"):
            self._client.api.remove_container(number, force=True)

    def clear(self, volumes: bool) -> None:
        """Remove the stack's network and, if asked to, its volumes with all that is in them."""
        with self._asking("remove"):
            for network in self._client.api.networks(filters={"label": f"{STACK}={self._plan.name}"}):
                self._client.api.remove_network(network["Id"])
            if volumes:
                named = {
                    f"{self._plan.name}-{volume.partition(':')[0]}"
                    for container in self._plan.containers.values()
                    for volume in container.volumes
                    if not volume.startswith((".", "/"))
                }
                for volume in self._client.api.volumes()["Volumes"] or ():
                    if volume["Name"] in named:
                        self._client.api.remove_volume(volume["Name"])


def _knock(url: str) -> None:
    """See whether somebody listens on a unix socket; Docker's library says it less plainly, and leaves one open.

    Raises:
        StackError: nobody does, or we may not.
    """
    path = url.removeprefix("unix://")
    if path == url:
        return
    with socket.socket(socket.AF_UNIX) as tried:
        try:
            tried.connect(path)
        except OSError as error:
            hint = _NOT_ALLOWED if isinstance(error, PermissionError) else _NO_ENGINE
            raise StackError(f"no Docker engine answers at {path}: {error.strerror or error}", hint) from error


def _seen(value: dict[str, Any]) -> Seen:
    state = value["State"]
    return Seen(
        id=value["Id"],
        mark=(value["Config"]["Labels"] or {}).get(MARK, ""),
        status=state["Status"],
        health=(state.get("Health") or {}).get("Status", "").replace("none", ""),
        exit_code=state["ExitCode"],
        restarts=value["RestartCount"],
        out_of_memory=state["OOMKilled"],
        error=state["Error"],
    )


def _short(error: Exception) -> str:
    """An error's own words, on one line."""
    said = str(getattr(error, "explanation", "") or error)
    return " ".join(said.split())[:300]
