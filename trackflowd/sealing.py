"""The supervisor's part in TLS: it reads the certificates, looks whether their files change, and says what is wrong.

A pair that is changed is taken on only when it is good as a whole; until then the one before is shown, an alert says
why, and workers that are started meanwhile are given the one before, too.
"""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from trackflowd.certificates import Certificates, Pair, read_pairs
from trackflowd.errors import ConfigError
from trackflowd.proto.certificate import Facts
from trackflowd.tlssection import Tls

log = logging.getLogger(__name__)

Signature = tuple[tuple[int, ...] | None, ...]


class Sealing:
    """The office.

    Args:
        tls: the options.

    Attributes:
        pairs: those in use.
        facts: of each.
        error: why what the files hold now is not in use; "": it is.

    Raises:
        ConfigError: a certificate cannot be used.
    """

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._loaded = self._seen = _signature(tls)
        self.error = ""
        self.pairs, self.facts = check(tls)

    @property
    def ends(self) -> int | None:
        """When the first of them ends, seconds since 1970; None: there are none."""
        return min((each.ends for each in self.facts), default=None)

    def status(self) -> list[dict[str, Any]]:
        """Of each: file, names, when it ends (ms since 1970)."""
        pairs = zip(self.pairs, self.facts, strict=True)
        return [{"file": pair.place, "names": list(each.names), "ends_ms": each.ends * 1000} for pair, each in pairs]

    def look(self) -> bool:
        """Look at the files, about once a second; True: others are in use now.

        What has just changed waits for the next look: a certificate and its key are two files, seldom replaced at once.
        """
        before, self._seen = self._seen, _signature(self._tls)
        return self._load() if self._seen == before and self._seen != self._loaded else False

    def take(self, tls: Tls) -> bool:
        """Take on the options and what the files hold now; True: other certificates are in use."""
        self._tls = tls
        self._seen = _signature(tls)
        return self._load()

    def _load(self) -> bool:
        self._loaded = self._seen
        try:
            pairs, found = check(self._tls)
        except ConfigError as error:
            self.error = error.text
            log.error("certificates stay as they are: %s", error)
            return False
        self.error = ""
        if pairs == self.pairs:
            return False
        self.pairs, self.facts = pairs, found
        for each in self.status():
            ends = time.strftime("%Y-%m-%d", time.gmtime(each["ends_ms"] / 1000))
            log.info("certificate %s for %s, good until %s", each["file"], ", ".join(each["names"]) or "no name", ends)
        return True


def check(tls: Tls) -> tuple[list[Pair], list[Facts]]:
    """Certificates that the options name, and what is to know of each.

    Raises:
        ConfigError: one cannot be used.
    """
    pairs = read_pairs(tls)
    return pairs, Certificates(pairs).facts if pairs else []


def _signature(tls: Tls) -> Signature:
    """What changes whenever one of the files does."""
    return tuple(map(_trace, (*tls.certificate, *tls.key)))


def _trace(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
