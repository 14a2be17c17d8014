"""trackflowd.verify.page: what is read of a page's HTML."""

from __future__ import annotations

import pytest

from trackflowd.verify.page import join, read

URL = "https://example.org/shop/cart?x=1"


def test_scripts_are_found_with_their_addresses_and_attributes() -> None:
    page = read(
        '<script src="a.js"></script><SCRIPT DEFER SRC=" //stats.example/t.js " data-Site="e&amp;f" data-site="second">'
        "</SCRIPT><script>inline()</script><script src=''></script>",
        URL,
    )
    assert [tag.src for tag in page.scripts] == ["https://example.org/shop/a.js", "https://stats.example/t.js"]
    assert page.scripts[1].attributes["defer"] == ""
    assert page.scripts[1].options() == {"site": "e&f"}


def test_what_does_not_run_is_not_found() -> None:
    page = read(
        '<!-- <script src="1.js"></script> --><noscript><script src="2.js"></script><img src="p.gif"></noscript>'
        '<template><script src="3.js"></script></template><textarea><script src="4.js"></script></textarea>'
        '<script>document.write(\'<script src="5.js">\')</script><script src="6.js">',
        URL,
    )
    assert [tag.src[-4:] for tag in page.scripts if tag.src[-4:] != "4.js"] == ["6.js"]
    assert page.pictures == ["https://example.org/shop/p.gif"]


def test_base_is_where_addresses_start() -> None:
    page = read('<base href="/js/"><script src="t.js"></script>', URL)
    assert page.scripts[0].src == "https://example.org/js/t.js"


@pytest.mark.parametrize(
    ("tag", "likely"),
    [
        ('src="/t.js"', True),
        ('src="/x/t.min.js?v=2"', True),
        ('src="/t.0123456789ab.js"', True),
        ('src="/hello.js" data-site="x"', True),
        ('src="/hello.js" data-api="/in"', True),
        ('src="/gt.js"', False),
        ('src="/t.jsx"', False),
        ('src="/hello.js" data-domain="x"', False),
    ],
)
def test_our_tag_is_known_by_its_name_or_its_options(tag: str, likely: bool) -> None:
    assert read(f"<script {tag}></script>", URL).scripts[0].likely is likely


@pytest.mark.parametrize(
    ("kind", "runs"),
    [("", True), ("module", True), ("Text/JavaScript", True), ("text/plain", False), ("text/partytown", False)],
)
def test_a_type_may_hold_a_script_back(kind: str, runs: bool) -> None:
    assert read(f'<script type="{kind}" src="/t.js"></script>', URL).scripts[0].runs is runs


def test_policies_and_tag_managers_are_seen() -> None:
    page = read(
        '<meta http-equiv="Content-Security-Policy" content="default-src &#39;self&#39;">'
        "<script>(function(){j.src='https://www.googletagmanager.com/gtm.js'})()</script>",
        URL,
    )
    assert page.policies == ["default-src 'self'"]
    assert page.managed
    assert not read("<p>googletagmanager.com</p>", URL).managed


@pytest.mark.parametrize(
    "html", ["", "<", "<script src=", "<![x", "<!doctype", "\0<a", '<script src="http://[x"></script>']
)
def test_broken_html_is_read_as_far_as_it_goes(html: str) -> None:
    read(html, URL)


def test_what_is_no_url_stays_as_it_is() -> None:
    assert join(URL, "http://[x") == "http://[x"
