"""Amounts of money as senders write them, in the unit they are stored in."""

from __future__ import annotations

import re
from typing import Final

from trackflowd.proto.refusals import refused

_AMOUNT = re.compile(r"([+-]?)([0-9]{1,32})(?:\.([0-9]{1,32}))?")
_MAX_UNITS: Final = 10**16  # 1e12 in 1/10,000
_MAX_INT: Final = 2**63


def money(amount: int | float | str) -> int:
    """An amount in 1/10,000 of the unit, rounded half away from zero.

    Raises:
        Refused: not a plain decimal number, or 1e12 and more.
    """
    if isinstance(amount, float):
        text = f"{amount:.8f}"  # 8 digits: beyond that a double of this size is noise
    else:
        text = str(amount).strip() if not isinstance(amount, int) or abs(amount) < _MAX_INT else ""
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise refused("bad_value", "revenue.amount: a number below 1e12 was expected")
    digits = (found[3] or "").ljust(5, "0")
    units = int(found[2]) * 10_000 + int(digits[:4]) + (digits[4] >= "5")
    if units >= _MAX_UNITS:
        raise refused("bad_value", "revenue.amount: a number below 1e12 was expected")
    return -units if found[1] == "-" else units
