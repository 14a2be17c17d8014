"""Certificates for tests, made by openssl, and TLS clients that believe them."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trackflowd.certificates import Pair


def make(directory: Path, name: str, names: Sequence[str], *, days: int = 90, rsa: bool = False) -> tuple[Path, Path]:
    """A certificate and its key, files in directory; other than the one made before under this name."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    kind = ["rsa:2048"] if rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    alt = ",".join(f"DNS:{each}" for each in names)
    command = ["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-subj", "/CN=test", "-days", str(days)]
    command += ["-keyout", str(key), "-out", str(certificate)]
    command += ["-addext", f"subjectAltName={alt}"] if alt else []
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def pair(files: tuple[Path, Path]) -> Pair:
    """As it is handed to workers."""
    certificate, key = files
    return Pair(certificate.read_bytes(), key.read_bytes(), str(certificate))


def client(*certificates: Path, **settings: Any) -> ssl.SSLContext:
    """A client that believes these certificates and no other."""
    context = ssl.create_default_context()
    for certificate in certificates:
        context.load_verify_locations(certificate)
    for name, value in settings.items():
        setattr(context, name, value)
    return context
