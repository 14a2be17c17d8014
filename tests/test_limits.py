"""trackflowd.limits: what a setting means, what a sender above it is told."""

from __future__ import annotations

import pytest

from trackflowd.limits import counted_as, of_address, of_site
from trackflowd.site import MAX_RATE, Site

SECOND = 10**9


@pytest.mark.parametrize(
    ("rate", "burst", "cost", "kept"),
    [
        (50, 10, 20_000_000, 10 * 20_000_000),
        (50, 0, 20_000_000, SECOND),
        (0.5, 0, 2 * SECOND, 2 * SECOND),
        (0.5, 3, 2 * SECOND, 6 * SECOND),
        (MAX_RATE, MAX_RATE, 1, SECOND),
        (MAX_RATE, 1, 1, 1),
        (5e-324, MAX_RATE, 2**56, 2**56),
    ],
)
def test_a_rate_is_a_cost_in_time_and_a_burst_what_is_kept(rate: float, burst: float, cost: int, kept: int) -> None:
    limit = of_address(rate, burst)
    assert limit is not None
    assert (limit.cost, limit.burst) == (cost, kept)


def test_a_site_has_the_limits_its_settings_name() -> None:
    assert of_site(Site("a.example")) == () and of_address(0, 0) is None
    both = of_site(Site("a.example", rate=1.5, address_rate=20))
    assert [(one.code, one.row, one.of_address) for one in both] == [
        ("rate_limited", "a.example", False),
        ("address_rate_limited", "a.example", True),
    ]


def test_a_refusal_says_which_limit_how_to_raise_it_and_when_to_come_again() -> None:
    site, address = of_site(Site("*", rate=1.5, address_rate=20))
    refusal = site.refusal(1, 7)
    assert (refusal.status, refusal.code, refusal.retry_after, refusal.events) == (429, "rate_limited", 1, 7)
    assert str(refusal) == "this site may send 1.5 events a second: `trackflow sites set '*' rate=…` raises it"
    assert "20 events a second to this site" in address.reason and "'*' address_rate=…" in address.reason
    option = of_address(2, 0)
    assert option is not None and "the option `sites.address_rate` raises it" in option.reason
    assert [site.refusal(ns, 1).retry_after for ns in (SECOND, SECOND + 1, 2**57)] == [1, 2, 3600]


def test_an_ipv6_client_counts_as_its_64() -> None:
    assert counted_as("203.0.113.7") == "203.0.113.7"
    same = {counted_as(f"2001:db8:1:2:{end}") for end in ("0:0:0:1", "ffff::", "1:2:3:4")}
    assert len(same) == 1 and counted_as("2001:db8:1:3::1") not in same
