"""Channels by kind and medium."""

from __future__ import annotations

import pytest

from trackflowd.enrich import channels
from trackflowd.enrich.sources import Kind


@pytest.mark.parametrize(
    ("kind", "medium", "bought", "expected"),
    [
        ("search", "organic", False, "Organic Search"),
        ("search", "cpc", False, "Paid Search"),
        ("search", "organic", True, "Paid Search"),
        ("search", "", False, "Organic Search"),
        ("social", "paid-social", False, "Paid Social"),
        ("social", "social", False, "Organic Social"),
        ("", "social-media", False, "Organic Social"),
        ("video", "cpv", False, "Paid Video"),
        ("", "video", False, "Organic Video"),
        ("video", "ppc", False, "Paid Video"),
        ("shopping", "referral", False, "Organic Shopping"),
        ("shopping", "retargeting", False, "Paid Shopping"),
        ("", "cpm", False, "Display"),
        ("", "banner", False, "Display"),
        ("ads", "cpc", False, "Display"),
        ("", "cpc", False, "Paid Other"),
        ("", "e-mail", False, "Email"),
        ("email", "", False, "Email"),
        ("", "affiliate", False, "Affiliates"),
        ("ai", "ai", False, "AI Assistants"),
        ("news", "referral", False, "News & Aggregators"),
        ("", "audio", False, "Audio"),
        ("", "sms", False, "SMS"),
        ("", "web-push", False, "Push"),
        ("", "referral", False, "Referral"),
        ("", "billboard", False, "Unassigned"),
        ("", "", False, "Unassigned"),
    ],
)
def test_the_first_rule_that_holds_gives_the_channel(kind: Kind, medium: str, bought: bool, expected: str) -> None:
    assert channels.channel(kind, medium, bought) == expected


@pytest.mark.parametrize("medium", ["cpc", "ppc", "cpm", "paid", "paidsearch", "paid-social", "retargeting"])
def test_paid_mediums_are_known(medium: str) -> None:
    assert channels.paid(medium)


@pytest.mark.parametrize("medium", ["", "organic", "email", "unpaid", "referral"])
def test_other_mediums_are_not_paid(medium: str) -> None:
    assert not channels.paid(medium)
