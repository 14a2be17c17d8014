"""trackflowd.proto.money: amounts as senders write them."""

from __future__ import annotations

import pytest

from trackflowd.errors import Refused
from trackflowd.proto.money import money


@pytest.mark.parametrize(
    ("amount", "units"),
    [(5, 50_000), (0.1, 1_000), ("9.99", 99_900), ("-0.00005", -1), ("0.00004", 0), (" 7 ", 70_000), (-3, -30_000)],
)
def test_an_amount_is_kept_in_ten_thousandths(amount: int | float | str, units: int) -> None:
    assert money(amount) == units


@pytest.mark.parametrize("amount", ["", "1e3", "1,5", "nan", float("inf"), 10**12, 2**70, "-" * 3])
def test_what_is_no_plain_number_below_a_trillion_is_refused(amount: int | float | str) -> None:
    with pytest.raises(Refused, match="below 1e12"):
        money(amount)
