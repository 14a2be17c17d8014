"""trackflowd.verify.csp: policies let through what browsers would."""

from __future__ import annotations

import pytest

from trackflowd.verify.csp import blocked_by, parse

PAGE = "https://example.org/shop"
SCRIPT = "https://stats.example.org/js/t.js"


@pytest.mark.parametrize(
    ("policy", "url", "allowed"),
    [
        ("", SCRIPT, True),
        ("img-src 'none'", SCRIPT, True),
        ("default-src 'none'", SCRIPT, False),
        ("default-src", SCRIPT, False),
        ("default-src 'self'", SCRIPT, False),
        ("default-src 'self'", "https://example.org/t.js", True),
        ("default-src 'self'", "https://example.org:8443/t.js", False),
        ("default-src 'self'", "http://example.org/t.js", False),
        ("default-src *", SCRIPT, True),
        ("default-src *", "data:text/javascript,1", False),
        ("script-src https:", SCRIPT, True),
        ("script-src http:", SCRIPT, True),
        ("script-src data:", SCRIPT, False),
        ("script-src stats.example.org", SCRIPT, True),
        ("script-src STATS.example.org", SCRIPT, True),
        ("script-src stats.example.org", "http://stats.example.org/js/t.js", False),
        ("script-src http://stats.example.org", SCRIPT, True),
        ("script-src stats.example.org:443", SCRIPT, True),
        ("script-src stats.example.org:80", SCRIPT, True),
        ("script-src stats.example.org:8443", SCRIPT, False),
        ("script-src stats.example.org:*", "https://stats.example.org:8443/t.js", True),
        ("script-src stats.example.org", "https://stats.example.org:8443/t.js", False),
        ("script-src *.example.org", SCRIPT, True),
        ("script-src *.example.org", "https://example.org/t.js", False),
        ("script-src *.example.org", "https://badexample.org/t.js", False),
        ("script-src https://stats.example.org/js/", SCRIPT, True),
        ("script-src https://stats.example.org/js", SCRIPT, False),
        ("script-src https://stats.example.org/js/t%2Ejs", SCRIPT, True),
        ("script-src https://stats.example.org/", SCRIPT, True),
        ("script-src 'nonce-abc'", SCRIPT, True),
        ("script-src 'nonce-other'", SCRIPT, False),
        ("script-src 'sha256-aGFzaA=='", SCRIPT, True),
        ("script-src 'sha256-b3RoZXI='", SCRIPT, False),
        ("script-src 'strict-dynamic' https:", SCRIPT, False),
        ("script-src 'strict-dynamic' 'nonce-abc'", SCRIPT, True),
        ("script-src 'unsafe-inline'", SCRIPT, False),
        ("script-src 'none'; script-src-elem stats.example.org", SCRIPT, True),
        ("script-src stats.example.org; script-src 'none'", SCRIPT, True),
        ("script-src *; default-src 'none'", SCRIPT, True),
        ("sandbox; script-src *", SCRIPT, False),
        ("sandbox allow-scripts", SCRIPT, True),
        ("script-src *, script-src 'none'", SCRIPT, False),
        ("script-src ::: http://[ 'x", SCRIPT, False),
        (";;,;", SCRIPT, True),
    ],
)
def test_a_script_is_let_through_or_not(policy: str, url: str, allowed: bool) -> None:
    assert (blocked_by(parse([policy]), "script", url, PAGE, "abc", "sha256-aGFzaA==") is None) is allowed


def test_every_policy_has_to_allow_it_and_the_one_that_does_not_is_named() -> None:
    policies = parse(["connect-src *", "default-src 'none'; Connect-Src 'self'"])
    assert blocked_by(policies, "connect", "https://stats.example.org/v1/events", PAGE) == "connect-src 'self'"
    assert blocked_by(policies, "connect", "https://example.org/v1/events", PAGE) is None
    assert blocked_by(policies, "img", "https://example.org/p.gif", PAGE) == "default-src 'none'"


def test_a_page_without_tls_may_be_served_by_itself_with_tls() -> None:
    assert (
        blocked_by(parse(["default-src 'self'"]), "script", "https://example.org/t.js", "http://example.org/") is None
    )


def test_a_nonce_is_no_use_for_events() -> None:
    assert blocked_by(parse(["default-src 'nonce-abc'"]), "connect", SCRIPT, PAGE, "abc") is not None
