"""trackflowd.verify.checks: a page on one server, the daemon (a real one, or one that is broken) on another."""

from __future__ import annotations

import base64
import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.process.harness import Daemon
from tests.sites import Answer, Site, certificate
from trackflowd import static
from trackflowd.verify import checks
from trackflowd.verify.checks import Asked, Report, verify
from trackflowd.verify.fetch import Fetcher

SCRIPT = static.asset("t.js") or b""
EMPTY = '{"error":"empty","reason":"body is empty"}'


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("daemon"), "daemon.workers=1", "http.script_path=/t.js,/js/app.js") as daemon:
        yield daemon


@pytest.fixture
def site() -> Iterator[Site]:
    """The site whose page is looked at."""
    with Site() as site:
        yield site


@pytest.fixture
def other(site: Site) -> Iterator[Site]:
    """A server in the daemon's place that works, until a test breaks it."""
    with Site() as other:
        let_in = {"Access-Control-Allow-Origin": site.url, "Access-Control-Allow-Credentials": "true"}
        other.answers["GET /t.js"] = Answer(SCRIPT, kind="text/javascript", headers=let_in)
        other.answers["OPTIONS /v1/events"] = Answer(status=204, headers=let_in)
        other.answers["POST /v1/events"] = Answer(EMPTY, 400, let_in)
        show(site, f'<script src="{other.url}/t.js" data-site="shop"></script>')
        yield other


def show(site: Site, html: str, **headers: str) -> None:
    answer = Answer(
        f"<!doctype html><title>x</title>{html}", headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    site.answers["GET /"] = answer


def look(site: Site, **asked: Any) -> Report:
    return verify(Asked(site.url + "/", **asked), Fetcher(20))


def failed(site: Site, **asked: Any) -> list[tuple[str, str]]:
    """Name and text of what failed; each must say what to do."""
    report = look(site, **asked)
    failures = [check for check in report.checks if check.state == checks.FAIL]
    assert report.ok == (not failures) and all(check.mend for check in failures)
    return [(check.name, check.text) for check in failures]


def notes(site: Site, **asked: Any) -> str:
    report = look(site, **asked)
    assert report.ok, report.checks
    return "\n".join(check.text for check in report.checks if check.state == checks.NOTE)


def test_a_page_of_another_origin_than_the_daemon_is_fine(site: Site, daemon: Daemon) -> None:
    show(site, f'<script defer src="{daemon.http}/t.js" data-site="shop" data-allow="localhost"></script>')
    report = look(site, version="0123456789ab")
    assert report.ok
    assert [(check.name, check.state) for check in report.checks] == [
        ("page", "ok"),
        ("tag", "ok"),
        ("script", "ok"),
        ("csp", "ok"),
        ("endpoint", "ok"),
        ("origin", "ok"),
        ("counted", "skipped"),
    ]
    assert report.facts["tag"]["site"] == "shop"
    assert len(report.facts["script"]["version"]) == 12
    assert "another than this program's" in report.checks[2].text
    daemon.flush()
    assert daemon.rows("SELECT name FROM events WHERE site = 'shop'") == []


def test_one_event_is_sent_if_asked_for_and_it_is_stored(site: Site, daemon: Daemon) -> None:
    show(site, f'<script defer src="{daemon.http}/t.js" data-site="sent"></script>')
    report = look(site, send=True)
    assert report.ok and report.checks[-1].state == "ok"
    daemon.flush()
    (row,) = daemon.rows("SELECT name, url, toString(event_id) AS id FROM events WHERE site = 'sent'")
    assert row == {"name": checks.EVENT_NAME, "url": site.url + "/", "id": report.facts["event"]["id"]}


def test_a_renamed_script_is_found_by_what_it_is(site: Site, daemon: Daemon) -> None:
    show(site, f'<script src="/own.js"></script><script src="{daemon.http}/js/app.js"></script>')
    site.answers["GET /own.js"] = Answer("x()", kind="text/javascript")
    report = look(site)
    assert report.ok
    assert report.facts["tag"]["src"] == f"{daemon.http}/js/app.js"
    assert report.facts["events"] == f"{daemon.http}/v1/events"


def test_a_script_a_tag_manager_puts_in_can_be_named(site: Site, daemon: Daemon) -> None:
    show(site, "<script>j.src='https://www.googletagmanager.com/gtm.js'</script>")
    report = look(site)
    assert "--script" in report.checks[-1].mend and "tag manager" in report.checks[-1].mend
    assert look(site, script=f"{daemon.http}/t.js").ok


def test_a_page_that_is_away_or_none_is_said(site: Site) -> None:
    assert failed(site) == [("page", f"{site.url}/ answers 404")]
    site.answers["GET /"] = Answer("{}", kind="application/json")
    assert failed(site) == [("page", f"{site.url}/ is application/json, no page")]
    ((name, text),) = [(c.name, c.text) for c in verify(Asked("http://127.0.0.1:1/"), Fetcher(20)).checks]
    assert (name, text) == ("page", "nobody listens at 127.0.0.1:1")


def test_a_page_without_the_tag_is_said(site: Site) -> None:
    show(site, '<script src="/app.js"></script><noscript><img src="/v1/pixel.gif?site=x"></noscript>')
    ((name, text),) = failed(site)
    assert (name, text) == ("tag", "none of the page's 1 scripts is TrackFlow's; the no-script pixel is there")


def test_a_page_of_this_machine_is_noted_to_be_ignored(site: Site, daemon: Daemon) -> None:
    show(site, f'<script defer src="{daemon.http}/t.js"></script>')
    assert notes(site) == "it does not count pages of this machine"


def test_tags_that_are_odd_are_noted(site: Site, other: Site) -> None:
    tag = f'<script src="{other.url}/t.js" data-site="x"'
    show(site, f"{tag}></script>{tag}></script>")
    assert "2 times" in notes(site)
    show(site, f'{tag} type="text/plain"></script>')
    assert "holds the script back" in notes(site)
    show(site, f'{tag} type="module"></script>')
    assert "module" in notes(site)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer("gone", 404), "answers 404"),
        (Answer("<h1>hello</h1>"), "is text/html, which browsers do not run"),
        (Answer("x()", kind="text/javascript"), "is not TrackFlow's script"),
        (
            Answer(SCRIPT, kind="text/javascript", headers={"Cross-Origin-Resource-Policy": "same-origin"}),
            "same-origin",
        ),
    ],
)
def test_a_script_that_does_not_load_is_said(site: Site, other: Site, answer: Answer, words: str) -> None:
    other.answers["GET /t.js"] = answer
    ((name, text),) = failed(site)
    assert name == "script" and words in text


def test_a_script_that_nobody_serves_is_said(site: Site) -> None:
    show(site, '<script src="http://127.0.0.1:1/t.js"></script>')
    assert failed(site) == [("script", "http://127.0.0.1:1/t.js: nobody listens at 127.0.0.1:1")]


def test_integrity_and_crossorigin_are_held_to(site: Site, other: Site) -> None:
    hashed = base64.b64encode(hashlib.sha384(SCRIPT).digest()).decode()
    tag = f'<script src="{other.url}/t.js" crossorigin integrity="sha256-bm90 sha384-{{}}"></script>'
    show(site, tag.format(hashed))
    assert failed(site) == []
    show(site, tag.format(hashed[::-1]))
    assert failed(site) == [("script", "its content is not what integrity in the tag says")]
    other.answers["GET /t.js"].headers.clear()
    assert "crossorigin" in failed(site)[0][1]


def test_a_page_that_isolates_itself_needs_a_script_that_allows_it(site: Site, other: Site, daemon: Daemon) -> None:
    show(site, f'<script src="{other.url}/t.js"></script>', Cross_Origin_Embedder_Policy="require-corp")
    assert "isolates itself" in failed(site)[0][1]
    show(site, f'<script src="{daemon.http}/t.js"></script>', Cross_Origin_Embedder_Policy="require-corp")
    assert failed(site) == []


def test_a_policy_that_keeps_script_or_events_out_is_named(site: Site, other: Site) -> None:
    tag = f'<script src="{other.url}/t.js" data-site="x" nonce="n1"></script>'
    show(site, tag, Content_Security_Policy="script-src 'self'; connect-src 'self'; img-src *")
    assert [(name, text.rpartition(": ")[2]) for name, text in failed(site)] == [
        ("csp", "script-src 'self'"),
        ("csp", "connect-src 'self'"),
    ]
    show(site, tag, Content_Security_Policy="script-src 'nonce-n1'; connect-src " + other.url)
    assert failed(site) == []
    show(site, f"<meta http-equiv=content-security-policy content=\"connect-src 'self'\">{tag}")
    (check,) = [check for check in look(site).checks if check.state == checks.FAIL]
    assert check.mend == f"add {other.url} to connect-src in the page's Content-Security-Policy"
    show(site, tag, Content_Security_Policy="img-src 'none'")
    assert "last resort" in notes(site)


@pytest.mark.parametrize(
    ("answer", "name", "words"),
    [
        (Answer('{"error":"not_found","reason":"x"}', 404), "endpoint", "answers 404 to POST"),
        (Answer("", 405), "endpoint", "answers 405 to POST"),
        (Answer("", 301, {"Location": "/x"}), "endpoint", "redirects"),
        (Answer("Access denied", 403), "endpoint", "answers 403: Access denied"),
        (Answer("<html>welcome</html>"), "endpoint", "answers 200: <html>welcome</html>"),
    ],
)
def test_an_endpoint_that_is_not_the_daemons_is_said(
    site: Site, other: Site, answer: Answer, name: str, words: str
) -> None:
    other.answers["POST /v1/events"] = answer
    ((found, text),) = failed(site)
    assert found == name and words in text


def test_a_daemon_that_is_full_is_said(site: Site, other: Site) -> None:
    answer = other.answers["POST /v1/events"]
    answer.status, answer.body = 503, '{"error":"ring_full","reason":"the store is behind"}'
    assert "ring_full: the store is behind" in failed(site)[0][1]


def test_the_endpoint_is_where_data_api_says(site: Site, other: Site) -> None:
    for name in ("OPTIONS", "POST"):
        other.answers[f"{name} /in"] = other.answers[f"{name} /v1/events"]
    show(site, f'<script src="{other.url}/t.js" data-api="/in"></script>')
    assert failed(site) == []
    show(site, f'<script src="{other.url}/t.js" data-api="ftp://x/in"></script>')
    assert failed(site)[0] == ("tag", "data-api: ftp://x/in is no http or https address")


def test_an_origin_that_may_not_read_the_answer_is_said(site: Site, other: Site) -> None:
    post, options = other.answers["POST /v1/events"], other.answers["OPTIONS /v1/events"]
    credentials = {"Access-Control-Allow-Credentials": "true"}
    for allowed in ({}, {"Access-Control-Allow-Origin": "*"}, {"Access-Control-Allow-Origin": "https://else.example"}):
        post.headers = credentials | allowed
        ((name, text),) = failed(site)
        assert name == "origin" and f"pages of {site.url} may not read" in text
    post.headers = {"Access-Control-Allow-Origin": site.url}
    assert failed(site)[0][0] == "origin"  # credentials are not allowed: a beacon's answer is hidden
    post.headers = options.headers
    options.headers = {}
    assert "OPTIONS" in failed(site)[0][1]
    options.status = 405
    assert "answers 405 to OPTIONS" in failed(site)[0][1]


def test_an_event_that_is_not_counted_is_said(site: Site, other: Site) -> None:
    post = other.answers["POST /v1/events"]
    assert "body is empty (400)" in failed(site, send=True)[0][1]
    post.headers = post.headers | {"X-Trackflow-Refused": "bot"}
    assert "not counted: bot" in failed(site, send=True)[0][1]


def test_a_secure_page_takes_nothing_that_is_not(tmp_path: Path) -> None:
    path = certificate(tmp_path)
    if path is None:
        pytest.skip("openssl is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    fetcher = Fetcher(20, ssl.create_default_context(cafile=str(path)))
    with Site(context) as site:
        show(site, '<script src="http://stats.example/t.js"></script>')
        report = verify(Asked(site.url + "/"), fetcher)
        assert "not fetched from a page on https" in report.checks[-1].text
        show(site, '<script src="/t.js" data-api="http://stats.example/in"></script>')
        site.answers["GET /t.js"] = Answer(SCRIPT, kind="text/javascript")
        report = verify(Asked(site.url + "/"), fetcher)
        assert "not reached from a page on https" in report.checks[-1].text
