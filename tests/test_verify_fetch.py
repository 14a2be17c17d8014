"""trackflowd.verify.fetch: bounded in every way, and what fails is said in words."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sites import Answer, Site, certificate
from trackflowd.verify.fetch import MAX_HOPS, Fetcher, Unreachable, is_local, origin, split


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


def failure(url: str, timeout: float = 20.0) -> str:
    with pytest.raises(Unreachable) as caught:
        Fetcher(timeout).get(url, 1000)
    return str(caught.value)


def test_redirects_are_followed_and_told(site: Site) -> None:
    site.answers["GET /a"] = Answer(status=301, headers={"Location": "/b?x=1"})
    site.answers["GET /b?x=1"] = Answer(status=307, headers={"Location": f"{site.url}/ü"})
    site.answers["GET /%C3%BC"] = Answer("here")
    got = Fetcher(20).get(f"{site.url}/a", 1000)
    assert (got.status, got.body, got.hops) == (200, b"here", (f"{site.url}/a", f"{site.url}/b?x=1"))


def test_redirects_without_end_are_not(site: Site) -> None:
    site.answers["GET /a"] = Answer(status=302, headers={"Location": "/a"})
    assert f"more than {MAX_HOPS} redirects" in failure(f"{site.url}/a")
    assert len(site.seen) == MAX_HOPS + 1


def test_no_more_is_read_than_asked_for(site: Site) -> None:
    site.answers["GET /"] = Answer(b"x" * 1_000_000)
    assert len(Fetcher(20).get(site.url, 1000).body) == 1000
    site.answers["GET /"] = Answer(gzip.compress(b"x" * 100_000_000), headers={"Content-Encoding": "gzip"})
    assert len(Fetcher(20).get(site.url, 200_000).body) == 200_000


def test_an_answer_that_does_not_come_is_not_waited_for(site: Site) -> None:
    never = threading.Event()
    site.answers["GET /"] = Answer(before=never)
    assert failure(site.url, 0.2) == "took longer than 0.2 s"
    never.set()


def test_an_answer_that_trickles_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def drip() -> None:
            connection = server.accept()[0]
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
                while not done.wait(0.05):
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            assert failure(f"http://127.0.0.1:{server.getsockname()[1]}/", 0.3) == "took longer than 0.3 s"
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"SSH-2.0-x\r\n", "is not HTTP"),
        (b"", "breaks off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", "breaks off"),
    ],
)
def test_what_is_not_http_is_said(sent: bytes, words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.recv(10_000)
                connection.sendall(sent)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            assert words in failure(f"http://127.0.0.1:{server.getsockname()[1]}/")
        finally:
            thread.join()


def test_nobody_there_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert failure(f"http://127.0.0.1:{port}/") == f"nobody listens at 127.0.0.1:{port}"


def test_a_name_without_an_address_is_said() -> None:
    assert failure("http://nothing.invalid/") == "no address is known for nothing.invalid"


@pytest.mark.parametrize(
    "url", ["", "example.org", "ftp://x/", "http://", "http://x:y/", "http://x:99999/", "http://[x/"]
)
def test_what_is_no_address_is_said(url: str) -> None:
    with pytest.raises(Unreachable, match="no http or https address"):
        split(url)


def test_a_coding_nobody_asked_for_is_said(site: Site) -> None:
    site.answers["GET /"] = Answer("x", headers={"Content-Encoding": "br"})
    assert "coding br" in failure(site.url)
    site.answers["GET /"] = Answer("plain text", headers={"Content-Encoding": "gzip"})
    assert "says is gzip" in failure(site.url)


def test_a_certificate_nobody_vouches_for_is_said(tmp_path: Path) -> None:
    path = certificate(tmp_path)
    if path is None:
        pytest.skip("openssl is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with Site(context) as site:
        site.answers["GET /"] = Answer("x")
        assert "certificate of 127.0.0.1" in failure(site.url)
        assert Fetcher(20, ssl.create_default_context(cafile=str(path))).get(site.url, 10).body == b"x"


def test_origins_are_as_browsers_write_them() -> None:
    assert origin("https://Example.org:443/a?b") == "https://example.org"
    assert origin("http://example.org:8080") == "http://example.org:8080"
    assert origin("http://[::1]:80/") == "http://[::1]"
    assert origin("https://bücher.example/") == "https://xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost:1", True),
        ("http://a.localhost", True),
        ("http://127.0.0.2", True),
        ("http://[::1]", True),
        ("http://10.0.0.1", False),
        ("http://localhost.example", False),
    ],
)
def test_this_machine_is_known(url: str, local: bool) -> None:
    assert is_local(url) is local
