"""Options of TLS at the listeners that speak it."""

from __future__ import annotations

from dataclasses import dataclass

from trackflowd.option import DURATION, FILES, option


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates of listeners with `tls` behind their address: docs/listeners.md."""

    certificate: tuple[str, ...] = option(
        (),
        FILES,
        "Files with a certificate and its chain each (PEM). A client is shown the one that is for the name it asks "
        "for, or else the first. Read again when they change.",
        reload=True,
    )
    key: tuple[str, ...] = option(
        (),
        FILES,
        "Files with the keys of the certificates, in the same order. Empty: each lies in its certificate's file.",
        reload=True,
    )
    handshake_timeout: float = option(
        10.0, DURATION, "How long a TLS handshake may take.", low=0.1, high=3600, reload=True
    )
