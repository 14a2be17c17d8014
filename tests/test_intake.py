"""trackflowd.intake: routes, answers, and what is in the ring when."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import intakes
from tests.workers import split_answers
from trackflowd.intake import Intake, Peer
from trackflowd.proto.headers import DEBUG
from trackflowd.proto.http import Connection, Limits
from trackflowd.proto.pixel import GIF
from trackflowd.proto.refusals import refused
from trackflowd.proto.request import Request, reply_to
from trackflowd.ring.file import RingFile
from trackflowd.ring.layout import TAIL_AT

PEER = Peer("203.0.113.9", False)
PROXY = Peer("10.0.0.1", True)
EVENT = b'{"site":"example.org","name":"n"}'

Made = tuple[Intake, RingFile]
Answer = tuple[int, dict[bytes, bytes], bytes]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    intake, ring = intakes.make(tmp_path, 65536, demo=True, trusted_proxies=("10.0.0.0/8",))
    yield intake, ring
    ring.close()


def request(method: str, target: str, body: bytes = b"", **headers: str) -> Request:
    """A request as it comes out of the parser; ``x_y="z"`` is the header X-Y."""
    lines = [f"{method} {target} HTTP/1.1", "Host: h"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}"] if body else []
    (made,) = Connection(Limits()).receive("\r\n".join([*lines, "", ""]).encode() + body)
    return made


def ask(intake: Intake, method: str, target: str, body: bytes = b"", peer: Peer = PEER, **headers: str) -> Answer:
    raw = intake.answer(request(method, target, body, **headers), peer)
    intake.publish()
    (answer,) = split_answers(raw, bodiless=0 if method == "HEAD" else -1)
    return answer


def test_an_event_is_in_the_ring_only_after_publish(made: Made) -> None:
    intake, ring = made
    assert intake.answer(request("POST", "/v1/events", EVENT), PEER).startswith(b"HTTP/1.1 200")
    assert intakes.rows(ring) == []
    intake.publish()
    assert len(intakes.rows(ring)) == 1


def test_what_is_abandoned_is_never_in_the_ring(made: Made) -> None:
    intake, ring = made
    intake.answer(request("POST", "/v1/events", EVENT), PEER)
    intake.abandon()
    ask(intake, "POST", "/v1/events", EVENT.replace(b'"n"', b'"other"'))
    assert [row["name"] for row in intakes.rows(ring)] == ["other"]


def test_who_may_is_told_the_decision_and_nothing_is_kept(made: Made) -> None:
    intake, ring = made

    def debug(request: Request, peer: Peer) -> bytes:
        if request.headers[DEBUG] != b"mine":
            raise refused("bad_token", "no")
        return b'{"told": true}'

    assert ask(intake, "POST", "/v1/events", EVENT, x_trackflow_debug="mine")[0] == 200
    assert len(intakes.rows(ring)) == 1  # who is not listened to sends an event as any other
    intake.debug = debug
    status, headers, body = ask(intake, "POST", "/v1/events", EVENT, x_trackflow_debug="mine")
    assert (status, headers[b"x-trackflow-refused"], body) == (200, b"debug", b'{"told": true}')
    status, headers, _ = ask(intake, "POST", "/v1/events", EVENT, x_trackflow_debug="theirs")
    assert (status, headers[b"x-trackflow-refused"], intake.refusals["bad_token"]) == (401, b"bad_token", 1)
    assert (len(intakes.rows(ring)), intake.accepted) == (1, 1)


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded", "image/png"])
def test_any_content_type_will_do(made: Made, kind: str) -> None:
    assert ask(made[0], "POST", "/v1/events", EVENT, content_type=kind)[0] == 200


def test_gzip_is_known_by_its_header_and_by_its_look(made: Made) -> None:
    assert ask(made[0], "POST", "/v1/events", gzip.compress(EVENT), content_encoding="gzip")[0] == 200
    assert ask(made[0], "POST", "/v1/events", gzip.compress(EVENT))[0] == 200


def test_an_answer_is_for_its_own_origin_each_time(made: Made) -> None:
    intake = made[0]
    for origin in ("https://a.example", "https://b.example", "https://a.example"):
        headers = ask(intake, "POST", "/v1/events", EVENT, origin=origin)[1]
        assert headers[b"access-control-allow-origin"] == origin.encode()
        assert headers[b"vary"] == b"Origin"
    assert b"access-control-allow-origin" not in ask(intake, "POST", "/v1/events", EVENT)[1]
    assert intake.answers[2] == intake.accepted == 4


def test_a_kept_answer_gets_a_new_date(made: Made) -> None:
    intake = made[0]
    first = ask(intake, "POST", "/v1/events", EVENT)[1][b"date"]
    assert ask(intake, "POST", "/v1/events", EVENT)[1][b"date"] == first
    intake.tick(intakes.NOW + 5)
    assert ask(intake, "POST", "/v1/events", EVENT)[1][b"date"] != first


def test_the_last_answer_of_a_connection_says_so_though_another_was_kept(made: Made) -> None:
    ask(made[0], "POST", "/v1/events", EVENT)
    assert ask(made[0], "POST", "/v1/events", EVENT, connection="close")[1][b"connection"] == b"close"


def test_the_pixel_counts_and_is_a_gif(made: Made) -> None:
    status, headers, body = ask(made[0], "GET", "/v1/pixel.gif?site=s&name=n", referer="https://s.example/page")
    assert (status, headers[b"content-type"], body) == (200, b"image/gif", GIF)
    assert b"no-store" in headers[b"cache-control"]
    (row,) = intakes.rows(made[1])
    assert (row["dialect"], row["path"]) == ("pixel", "/page")


def test_the_script_is_served_with_a_mark_and_packed_where_that_is_taken(made: Made) -> None:
    intake = made[0]
    status, headers, body = ask(intake, "GET", "/t.js?x=1")
    assert status == 200 and b"trackflow" in body
    assert headers[b"content-type"].startswith(b"text/javascript")
    assert headers[b"cache-control"] == b"public, max-age=86400"
    packed = ask(intake, "GET", "/t.js", accept_encoding="br;q=0.8, gzip")
    assert packed[1][b"content-encoding"] == b"gzip" and gzip.decompress(packed[2]) == body
    assert packed[1][b"etag"] != headers[b"etag"]
    assert ask(intake, "GET", "/t.js", accept_encoding="gzip, deflate, br")[1][b"content-encoding"] == b"br"
    for tag in (headers[b"etag"].decode(), 'W/"x", W/' + headers[b"etag"].decode(), "*"):
        status, again, body = ask(intake, "GET", "/t.js", if_none_match=tag)
        assert (status, again[b"etag"], body) == (304, headers[b"etag"], b"")
    assert ask(intake, "GET", "/t.js", if_none_match='"other"')[0] == 200


@pytest.mark.parametrize(
    ("script", "beside"),
    [("/t.js", "/t.extras.js"), ("/x/a.js", "/x/a.extras.js"), ("/stats", "/stats.extras.js")],
)
def test_the_other_scripts_lie_beside_the_script_under_its_name(tmp_path: Path, script: str, beside: str) -> None:
    intake, ring = intakes.make(tmp_path, 65536, script_path=(script,))
    ring.close()
    for path in (script, beside, beside.replace("extras", "min")):
        status, headers, body = ask(intake, "GET", path)
        assert (status, headers[b"content-type"]) == (200, b"text/javascript; charset=utf-8")
        assert body.startswith(b"(()=>{") is ("extras" not in path)


def test_a_version_of_the_script_is_immutable_and_another_keeps_working(made: Made) -> None:
    intake = made[0]
    _, headers, body = ask(intake, "GET", "/t.js")
    version = headers[b"x-trackflow-script"].partition(b";")[0].decode()
    status, versioned, same = ask(intake, "GET", f"/t.{version}.js")
    assert (status, same) == (200, body)
    assert versioned[b"cache-control"] == b"public, max-age=31536000, immutable"
    status, old, same = ask(intake, "GET", "/t.0123456789ab.js")
    assert (status, same) == (200, body)
    assert old[b"cache-control"] == b"public, max-age=300"
    assert [ask(intake, "GET", f"/t.{text}.js")[0] for text in ("0123", "0123456789AB", "x")] == [404] * 3
    assert ask(intake, "DELETE", f"/t.{version}.js")[0] == 405


def test_head_is_answered_like_get_without_the_body(made: Made) -> None:
    raw = made[0].answer(request("HEAD", "/t.js"), PEER)
    assert raw.endswith(b"\r\n\r\n")
    ((status, headers, _),) = split_answers(raw, bodiless=0)
    assert status == 200 and int(headers[b"content-length"]) > 100


def test_head_on_the_pixel_is_answered_and_counts_nothing(made: Made) -> None:
    intake, ring = made
    status, headers, body = ask(intake, "HEAD", "/v1/pixel.gif?site=s&name=n")
    assert (status, headers[b"content-type"], headers[b"content-length"], body) == (200, b"image/gif", b"43", b"")
    assert headers[b"x-trackflow-refused"] == b"head"
    assert (intakes.rows(ring), intake.accepted) == ([], 0)


def test_the_demo_page_is_there_only_when_asked_for(made: Made, tmp_path: Path) -> None:
    assert b"<script" in ask(made[0], "GET", "/?from=mail")[2]
    (tmp_path / "x").mkdir()
    other, ring = intakes.make(tmp_path / "x")
    assert ask(other, "GET", "/")[0] == 404
    ring.close()


def test_routes_have_all_the_names_the_operator_gives_them(tmp_path: Path) -> None:
    intake, ring = intakes.make(
        tmp_path, event_path=("/e", "/in/e"), script_path=("/s.js", "/js/app"), pixel_path=("/p", "/q.gif")
    )
    assert [ask(intake, "POST", path, EVENT)[0] for path in ("/e", "/in/e")] == [200] * 2
    assert [ask(intake, "GET", f"{path}?site=s&name=n")[0] for path in ("/p", "/q.gif")] == [200] * 2
    assert len(intakes.rows(ring)) == 4
    assert b'"e"' in ask(intake, "GET", "/s.js")[2]
    assert b'"../e"' in ask(intake, "GET", "/js/app")[2]
    assert ask(intake, "GET", "/js/app.0123456789ab")[0] == 200
    assert [ask(intake, "GET", path)[0] for path in ("/v1/events", "/t.js", "/v1/pixel.gif")] == [404] * 3
    ring.close()


@pytest.mark.parametrize("target", ["/v1/events", "/t.js", "/anything", "*"])
def test_a_preflight_is_granted_anywhere(made: Made, target: str) -> None:
    status, headers, body = ask(
        made[0], "OPTIONS", target, origin="https://a.example", access_control_request_headers="content-type,x-a"
    )
    assert (status, body) == (204, b"")
    assert headers[b"access-control-allow-origin"] == b"https://a.example"
    assert headers[b"access-control-allow-headers"] == b"content-type,x-a"
    assert headers[b"access-control-allow-credentials"] == b"true"


def test_a_wrong_method_is_told_the_right_ones(made: Made) -> None:
    status, headers, body = ask(made[0], "DELETE", "/t.js")
    assert (status, headers[b"allow"]) == (405, b"GET, HEAD, OPTIONS")
    assert json.loads(body)["error"] == "method"


def test_the_address_of_the_client_is_the_peers_unless_a_trusted_proxy_names_another(made: Made) -> None:
    intake, ring = made
    forwarded = {"x_forwarded_for": "198.51.100.7"}
    ask(intake, "POST", "/v1/events", EVENT, Peer("198.51.100.7", False))
    ask(intake, "POST", "/v1/events", EVENT, PROXY, **forwarded)
    ask(intake, "POST", "/v1/events", EVENT, PROXY, forwarded='for="198.51.100.7:80"')
    ask(intake, "POST", "/v1/events", EVENT, PEER, **forwarded)
    ask(intake, "POST", "/v1/events", EVENT, PROXY)
    visitors = [row["visitor"] for row in intakes.rows(ring)]
    assert visitors[0] == visitors[1] == visitors[2]
    assert len(set(visitors)) == 3


def test_when_the_ring_is_full_nothing_of_the_request_is_kept(made: Made) -> None:
    intake, ring = made
    many = b"[" + b",".join([EVENT] * 50) + b"]"
    accepted = 0
    while (answer := ask(intake, "POST", "/v1/events", many))[0] == 200:
        accepted += 50
    assert (answer[0], answer[1][b"retry-after"], json.loads(answer[2])["error"]) == (503, b"5", "ring_full")
    assert len(intakes.rows(ring)) == accepted == intake.accepted
    assert (intake.ring_full, intake.refused) == (1, 1)


def test_a_ring_that_cannot_be_trusted_takes_nothing(made: Made) -> None:
    intake, ring = made
    ring.writer._words[TAIL_AT // 8] = 0xDEAD  # a tail whose check does not fit
    many = b"[" + b",".join([EVENT] * 60) + b"]"
    answers = [ask(intake, "POST", "/v1/events", many) for _ in range(20)]
    assert json.loads(answers[-1][2])["error"] == "ring_failed"
    assert intake.ring_failed
    assert json.loads(ask(intake, "POST", "/v1/events", EVENT)[2])["error"] == "ring_failed"


def test_rows_go_to_the_tail_while_there_is_one(made: Made) -> None:
    intake = made[0]
    seen: list[int] = []
    intake.tail = lambda rows: seen.append(len(rows))
    ask(intake, "POST", "/v1/events", b"[" + EVENT + b"," + EVENT + b"]")
    ask(intake, "POST", "/v1/events", b"{}")
    assert seen == [2]


def test_everything_is_counted(made: Made) -> None:
    intake = made[0]
    ask(intake, "POST", "/v1/events", b"[" + EVENT + b',{"site":"s"}]')
    ask(intake, "POST", "/v1/events", b'[{"site":"s"},{}]')
    ask(intake, "GET", "/nothing")
    ask(intake, "GET", "/t.js", if_none_match="*")
    intake.refuse_connection(refused("malformed", "why"))
    assert (intake.requests, intake.accepted, intake.refused) == (4, 1, 3)
    assert intake.answers == [0, 0, 1, 1, 3, 0]
    assert intake.refusals == {"missing_key": 3, "not_found": 1, "malformed": 1}
    assert intake.by_site == [0]


def test_events_are_counted_by_wire_format(made: Made) -> None:
    intake = made[0]
    ask(intake, "POST", "/v1/events", b"[" + EVENT + b"," + EVENT + b',{"site":"s"}]')
    ask(intake, "POST", "/v1/events", b"nonsense")
    ask(intake, "GET", "/v1/pixel.gif?site=s&name=n")
    ask(intake, "GET", "/v1/pixel.gif?site=s")
    ask(intake, "GET", "/nothing")
    assert intake.by_dialect() == {"native": (2, 2), "pixel": (1, 1)}
    assert (intake.accepted, intake.refused) == (3, 3)
    intake.retract(2, reply_to(request("POST", "/v1/events")))
    assert (intake.accepted, intake.refused) == (1, 4)
    assert intake.by_dialect() == {"native": (2, 2), "pixel": (1, 1)}, "a counter does not fall"


def test_sites_that_are_named_are_counted_each_and_all_others_together(tmp_path: Path) -> None:
    intake, ring = intakes.make(tmp_path, sites=("a.example", "b.example"))
    body = [{"site": site, "name": "n"} for site in ("a.example", "x", "y", "a.example", "")]
    ask(intake, "POST", "/v1/events", json.dumps(body).encode())
    ask(intake, "GET", "/v1/pixel.gif?site=b.example&name=n")
    assert intake.by_site == [2, 2, 1]
    ring.close()


def test_the_demo_page_names_the_paths_in_effect(tmp_path: Path) -> None:
    intake, ring = intakes.make(tmp_path, 65536, demo=True, script_path=("/hello.js",), event_path=("/in",))
    _, _, page = ask(intake, "GET", "/")
    assert b'src="/hello.js"' in page
    assert b'data-api="/in"' in page
    assert b"/t.js" not in page
    assert ask(intake, "GET", "/hello.js")[0] == 200
    ring.close()
