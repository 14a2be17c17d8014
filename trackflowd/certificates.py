"""Certificates with their keys: read from files, checked, and chosen by the name a client asks for.

They are read by the supervisor and handed to the workers as bytes, so a worker that is started while the files
are broken serves with what the others serve with. Protocols and ciphers are those that Mozilla's server side
TLS guidelines (version 5.7) call intermediate: TLS 1.2 and 1.3, forward secrecy and authenticated ciphers only.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from trackflowd.errors import ConfigError
from trackflowd.proto.certificate import Facts, facts
from trackflowd.tlssection import Tls

#: Of TLS 1.2; those of 1.3 are all right.
CIPHERS = ":".join(
    f"ECDHE-{kind}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for kind in ("ECDSA", "RSA")
)

#: What the library says of a key that is another certificate's: of the same kind, of another.
_ANOTHERS = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


class Pair(NamedTuple):
    """A certificate with its chain, and its key, as PEM texts.

    Args:
        certificate, key: the texts.
        place: where they are from, for messages.
    """

    certificate: bytes
    key: bytes
    place: str


def read_pairs(tls: Tls) -> list[Pair]:
    """What the files hold now; ``Certificates`` says whether it is good.

    Raises:
        ConfigError: a file cannot be read.
    """
    keys = tls.key or tls.certificate
    pairs = []
    for certificate, key in zip(tls.certificate, keys, strict=True):
        chain = _read(certificate, "tls.certificate")
        pairs.append(Pair(chain, _read(key, "tls.key") if key != certificate else chain, certificate))
    return pairs


def _read(path: str, option: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigError(f"{option}: {path} cannot be read: {error.strerror}", "see: ls -l") from error


class Certificates:
    """Certificates a listener may show.

    Args:
        pairs: the first is shown to who asks for a name that none is for, or for none.

    Attributes:
        facts: of each.

    Raises:
        ConfigError: one of them cannot be used: broken, a key that is another's or needs a password.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.facts: list[Facts] = []
        self._by_name: dict[str, ssl.SSLContext] = {}
        contexts = []
        for pair in pairs:
            try:
                found = facts(pair.certificate)
            except ValueError as error:
                raise ConfigError(f"tls.certificate: {pair.place} holds {error}") from error
            context = _context(pair)
            contexts.append(context)
            self.facts.append(found)
            for name in found.names:
                self._by_name.setdefault(name, context)
        self._first = contexts[0]

    def pick(self, name: str) -> ssl.SSLContext:
        """What to speak TLS with to a client that asks for this name (in lower case)."""
        name = name.rstrip(".")
        found = self._by_name.get(name) or self._by_name.get("*." + name.partition(".")[2])
        return found or self._first


def _context(pair: Pair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE  # a client knows what its processor is good at
    context.set_alpn_protocols(["http/1.1"])

    def no_password() -> bytes:
        raise ConfigError(f"tls.key: the key of {pair.place} needs a password", "store it without one, mode 0600")

    chain, key = _memory(pair.certificate), _memory(pair.key)
    try:
        context.load_cert_chain(f"/proc/self/fd/{chain}", f"/proc/self/fd/{key}", no_password)
    except ssl.SSLError as error:
        if error.reason in _ANOTHERS:
            raise ConfigError(f"tls.key: the key is not that of the certificate {pair.place}") from error
        why = (error.reason or str(error)).lower().replace("_", " ")
        raise ConfigError(f"tls.certificate: {pair.place} and its key cannot be used: {why}") from error
    finally:
        os.close(chain)
        os.close(key)
    return context


def _memory(data: bytes) -> int:
    """A descriptor from which data can be read by name: the library reads files only, and a key is to be in none."""
    fd = os.memfd_create("trackflowd-pem", os.MFD_CLOEXEC)
    os.write(fd, data)
    return fd


def as_message(pairs: Sequence[Pair]) -> list[Mapping[str, object]]:
    """For the channel to a worker."""
    return [pair._asdict() for pair in pairs]
