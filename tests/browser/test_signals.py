"""What the tracker sees of a visit, as rows of the store."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.browser.stage import Stage


def test_a_page_view_says_where_from_where_and_in_what_browser(stage: Stage, page: Page) -> None:
    stage.visit("a?utm_source=mail&token=secret#top")
    (row,) = stage.stored("pageview")
    assert row["url"] == stage.url + "a"
    assert row["utm_source"] == "mail"
    assert row["title"] == "Page /a"
    assert (row["language"], row["timezone"]) == ("de-CH", "Europe/Zurich")
    assert row["screen"] == row["viewport"] == "1280x720"
    assert row["browser"] == "Chrome"
    assert row["user_id"] == ""


def test_an_event_has_properties_revenue_and_a_callback(stage: Stage) -> None:
    page = stage.visit()
    outcome = page.evaluate(
        """() => new Promise(done => trackflow("order", {
            props: {plan: "pro", n: 3}, revenue: {amount: 29.95, currency: "EUR"}, callback: done}))"""
    )
    assert outcome == "accepted"
    (row,) = stage.stored("order")
    assert row["props"] == {"plan": "pro", "n": "3"}
    assert (float(row["revenue"]), row["currency"]) == (29.95, "EUR")


def test_attributes_make_an_event_of_a_click(stage: Stage) -> None:
    stage.body = """<button data-trackflow-event="signup" data-trackflow-prop-plan-type="pro"><b id="b">Go</b></button>
        <form id="f" data-trackflow-event="subscribed" onsubmit="return false">
        <input name="id"><button id="s">ok</button></form>"""
    page = stage.visit()
    page.click("#b")
    page.click("#s")
    (row,) = stage.stored("signup")
    assert row["props"] == {"plan-type": "pro"}
    assert stage.names() == ["pageview", "signup", "subscribed"]


def test_links_out_downloads_and_forms_are_events(stage: Stage) -> None:
    stage.options["domains"] = "sister.example"
    links = {
        "out": "https://other.example/x?token=1",
        "sister": "https://www.sister.example/",
        "pdf": "/files/Guide.PDF?v=2",
        "own": "/b",
        "mail": "mailto:a@b.example",
    }
    stage.body = "".join(f'<a id="{name}" href="{href}">{name}</a> ' for name, href in links.items())
    stage.body += """<form id="search" onsubmit="return false">
        <input name="id" value="private"><button id="s">ok</button></form>
        <script>document.onclick = event => event.target.tagName === "A" && event.preventDefault()</script>"""
    page = stage.visit()
    for name in links:
        page.click(f"#{name}")
    page.click("#s")
    stage.settled()
    found = [(row["name"], row["props"]) for row in stage.rows(order="time")]
    assert found[1:] == [
        ("outbound", {"url": "https://other.example/x"}),
        ("download", {"url": f"{stage.url}files/Guide.PDF"}),
        ("form", {"form": "search"}),
    ]


def test_a_page_that_is_not_there_says_so(stage: Stage) -> None:
    stage.missing.add("/gone")
    stage.visit("gone")
    (row,) = stage.stored("404")
    assert row["path"] == "/gone"
