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
        <script>document.onclick = event => { if (event.target.href) event.preventDefault() }</script>"""
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


def test_a_page_that_is_left_tells_how_long_and_how_far_it_was_looked_at(stage: Stage) -> None:
    stage.body = '<div style="height: 3000px">long</div>'
    page = stage.visit()
    page.evaluate("scrollTo(0, 900)")
    page.wait_for_function("scrollY === 900")
    # The engagement a person would take seconds for: the page's own clock goes ahead.
    page.evaluate("() => { const now = performance.now.bind(performance); performance.now = () => now() + 90_000 }")
    page.goto("about:blank")
    (view, leave) = stage.rows(least=2, order="time")
    assert leave["name"] == "leave"
    assert leave["props"] == {"view": view["event_id"]}
    assert (leave["url"], leave["title"]) == (view["url"], view["title"])
    assert 90_000 <= leave["engaged_ms"] < 150_000
    assert 50 < leave["scroll"] < 60


def test_each_step_of_a_single_page_site_is_left_under_its_own_address(stage: Stage) -> None:
    page = stage.visit("a")
    page.evaluate("() => { history.pushState({}, '', '/b'); document.title = 'B' }")
    page.wait_for_function("trackflow.page.url.endsWith('/b')")
    page.goto("about:blank")
    rows = stage.rows(least=4)
    views = {row["event_id"]: row for row in rows if row["name"] == "pageview"}
    assert {row["path"]: (row["title"], row["referrer"]) for row in views.values()} == {
        "/a": ("Page /a", ""),
        "/b": ("B", stage.url + "a"),
    }
    leaves = [row for row in rows if row["name"] == "leave"]
    assert {views[row["props"]["view"]]["path"]: (row["path"], row["title"]) for row in leaves} == {
        "/a": ("/a", "Page /a"),
        "/b": ("/b", "B"),
    }


def test_a_step_counts_once_however_often_the_router_writes_it(stage: Stage) -> None:
    page = stage.visit()
    page.evaluate("() => { history.pushState({}, '', '/b'); history.replaceState({}, '', '/c') }")
    page.wait_for_function("trackflow.page.url.endsWith('/c')")
    page.evaluate("() => { history.replaceState({scroll: 1}, ''); history.pushState({}, '', '/c?private=1#below') }")
    page.evaluate("history.go(-2)")
    page.wait_for_function("trackflow.page.url.endsWith('/')")
    assert sorted(row["path"] for row in stage.stored("pageview")) == ["/", "/", "/c"]


def test_in_hash_mode_the_fragment_is_the_page(stage: Stage) -> None:
    stage.options["hash"] = ""
    page = stage.visit("app#/a")
    page.evaluate("() => { location.hash = '#/b?x=1' }")
    page.wait_for_function("trackflow.page.url.endsWith('/app/b')")
    assert sorted(row["path"] for row in stage.stored("pageview")) == ["/app/a", "/app/b"]


def test_signals_are_turned_off_one_by_one(stage: Stage) -> None:
    off = (
        "title",
        "screen",
        "viewport",
        "lang",
        "tz",
        "outbound",
        "downloads",
        "forms",
        "scroll",
        "engaged",
        "notfound",
        "spa",
    )
    stage.options |= dict.fromkeys(off, "off")
    stage.missing.add("/gone")
    stage.body = """<a id="a" href="https://other.example/">a</a><a id="b" href="/x.pdf">b</a>
        <form onsubmit="return false"><button id="c">c</button></form>
        <script>document.onclick = event => { if (event.target.href) event.preventDefault() }</script>"""
    page = stage.visit("gone")
    for name in "abc":
        page.click(f"#{name}")
    page.evaluate("history.pushState({}, '', '/step')")
    page.evaluate("trackflow('last')")
    (row,) = stage.stored("pageview")
    assert [row[name] for name in ("title", "screen", "viewport", "timezone")] == [""] * 4
    assert row["language"] == "de-CH"  # the request's
    page.goto("about:blank")
    assert stage.names() == ["pageview", "last"]


def test_page_views_by_hand(stage: Stage) -> None:
    stage.options["pageviews"] = "off"
    page = stage.visit()
    page.evaluate("trackflow.pageview({url: location.origin + '/virtual', title: 'V', props: {a: '1'}})")
    (row,) = stage.stored("pageview")
    assert (row["path"], row["title"], row["props"]) == ("/virtual", "V", {"a": "1"})


def test_the_user_is_named_by_tag_or_call_and_not_stored_in_the_browser(stage: Stage) -> None:
    stage.options["user"] = "u-1"
    page = stage.visit()
    page.evaluate("() => { trackflow.identify(2); trackflow('a'); trackflow.identify(null); trackflow('b') }")
    stage.settled()
    assert [(row["name"], row["user_id"]) for row in stage.rows()] == [("pageview", "u-1"), ("a", "2"), ("b", "")]
    assert page.evaluate("Object.keys(localStorage)") == []


def test_parameters_that_are_listed_are_sent(stage: Stage) -> None:
    stage.options["query"] = "page q"
    stage.visit("?q=a%20b&page=2&session=private")
    (row,) = stage.stored("pageview")
    assert row["query"] == "q=a%20b&page=2"


def test_excluded_paths_are_not_counted(stage: Stage) -> None:
    stage.options["exclude"] = "/admin/** /b"
    page = stage.visit("admin/users/1")
    page.evaluate("() => { trackflow('inside'); history.pushState({}, '', '/c') }")
    page.wait_for_function("trackflow.page.url.endsWith('/c')")
    assert [row["path"] for row in stage.stored("pageview")] == ["/c"]
    assert stage.names() == ["pageview"]


def test_calls_before_the_script_are_kept_by_the_stub(stage: Stage) -> None:
    stage.head = """<script>window.trackflow = window.trackflow ||
        function () { (trackflow.q = trackflow.q || []).push(arguments) }
        trackflow("early", {props: {a: "1"}})</script>"""
    stage.visit()
    (row,) = stage.stored("early")
    assert row["props"] == {"a": "1"}


def test_the_second_file_tells_of_errors(stage: Stage) -> None:
    stage.options["extras"] = "errors"
    page = stage.visit()
    page.wait_for_function("performance.getEntriesByType('resource').some(entry => entry.name.includes('extras'))")
    fail = """() => { for (let n = 0; n < 30; n++) dispatchEvent(new ErrorEvent("error",
        {message: "Error " + n % 15, filename: "https://a.example/x.js?t=1", lineno: n % 15})) }"""
    page.evaluate(fail)
    page.evaluate(
        "dispatchEvent(new PromiseRejectionEvent('unhandledrejection', {promise: Promise.resolve(), reason: 'no'}))"
    )
    rows = stage.stored("error")
    assert sorted(row["props"]["message"] for row in rows) == sorted(f"Error {n}" for n in range(10))
    assert {row["props"]["source"] for row in rows} == {f"https://a.example/x.js:{n}:0" for n in range(10)}


def test_the_second_file_tells_web_vitals_when_the_page_is_hidden(stage: Stage) -> None:
    stage.options["extras"] = "vitals errors"
    stage.body = "<h1>Largest</h1><button onclick='this.textContent = 1'>b</button>"
    page = stage.visit()
    page.wait_for_function("performance.getEntriesByType('paint').length === 2")
    page.wait_for_function("performance.getEntriesByType('resource').some(entry => entry.name.includes('extras'))")
    view = page.evaluate("trackflow.page.id")
    page.goto("about:blank")
    row = next(row for row in stage.rows(least=3) if row["name"] == "vitals")
    assert row["props"]["view"] == view
    assert float(row["props"]["lcp"]) >= float(row["props"]["fcp"]) > 0
    assert float(row["props"]["ttfb"]) > 0
    assert row["props"]["cls"] == "0"


def test_the_small_script_counts_views_and_events(stage: Stage) -> None:
    stage.script = "t.min.js"
    page = stage.visit("a?x=1")
    page.evaluate("trackflow('order', {props: {plan: 'pro'}, revenue: {amount: 5, currency: 'EUR'}})")
    page.evaluate("history.pushState({}, '', '/b')")
    rows = stage.rows(least=3)
    assert sorted((row["name"], row["path"]) for row in rows) == [
        ("order", "/a"),
        ("pageview", "/a"),
        ("pageview", "/b"),
    ]
    order = next(row for row in rows if row["name"] == "order")
    assert (order["props"], order["currency"]) == ({"plan": "pro"}, "EUR")
