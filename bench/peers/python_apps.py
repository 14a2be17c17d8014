"""The virtual environment that the Python peers run in: beside trackflow's own, never in it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from bench.load import free_port
from bench.peers.base import Serve, Server, installing, said, started

APPS = Path(__file__).parent / "apps"


def _python(cache: Path) -> Path:
    return cache / "python" / "bin" / "python"


def lacks(*packages: str) -> Callable[[Path], str]:
    """What tells whether these packages are in the environment."""

    def ask(cache: Path) -> str:
        sites = list(cache.glob("python/lib/python3*/site-packages"))
        missing = [name for name in packages if not any((site / name).is_dir() for site in sites)]
        return f"{' and '.join(missing)} not in {cache / 'python'}: python -m bench peers --install" if missing else ""

    return ask


def install(cache: Path) -> None:
    """Make the environment and fetch what bench/peers/apps/requirements.txt names. Raises BenchFailed."""
    if not _python(cache).exists():
        with_venv = find_spec("ensurepip") is not None
        installing([sys.executable, "-m", "venv" if with_venv else "virtualenv", str(cache / "python")])
    requirements = str(APPS / "requirements.txt")
    installing([str(_python(cache)), "-m", "pip", "install", "--quiet", "-r", requirements])


def version(*packages: str) -> Callable[[Path], str]:
    """What tells the versions of these packages."""
    code = "import sys; from importlib.metadata import version; "
    code += "print(*(f'{name}/{version(name)}' for name in sys.argv[1:]), f'Python/{sys.version.split()[0]}')"
    return lambda cache: said([str(_python(cache)), "-c", code, *packages])


def serving(name: str, script: str) -> Serve:
    """What starts bench/peers/apps/SCRIPT with a port."""

    @contextmanager
    def serve(work: Path, cache: Path) -> Iterator[Server]:
        port = free_port()
        with started([str(_python(cache)), str(APPS / script), str(port)], work, name, port) as server:
            yield server

    return serve
