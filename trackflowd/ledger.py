"""Refusals of a worker by site and code, until the supervisor is told of them: once a second, and at the end.

Sites are what senders write, so their number is bounded: past ``MAX_ROWS`` pairs of a second the rest counts as those
of ``OTHERS``. What was refused before a site was known counts under ``NONE``; of an event that cannot be read a site
is known if it names one that is registered (``admission``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

#: In place of a site: none was known; the rest.
NONE = "(none)"
OTHERS = "(others)"
#: Pairs of site and code told in one message.
MAX_ROWS = 500


class Ledger:
    """What is still to be told."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, codes: Mapping[str, int], sites: Mapping[tuple[str, str], int]) -> None:
        """Take in what was refused.

        Args:
            codes: all of it, by code.
            sites: of it, what has a known site: by site and code.
        """
        counts = self._counts
        known: Counter[str] = Counter()
        for (site, code), number in sites.items():
            known[code] += number
            place = (site, code)
            counts[place if place in counts or len(counts) < MAX_ROWS else (OTHERS, code)] += number
        for code, number in codes.items():
            if number > known[code]:
                counts[NONE, code] += number - known[code]

    def take(self) -> list[tuple[str, str, int]]:
        """Site, code and number of what came since the last time."""
        rows = [(site, code, number) for (site, code), number in self._counts.items()]
        self._counts.clear()
        return rows
