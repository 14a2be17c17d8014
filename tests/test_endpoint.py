"""trackflowd.endpoint: what may stand in http.listen, and what is said of the rest."""

from __future__ import annotations

import pytest

from trackflowd.endpoint import Endpoint, read_endpoint, split_address


def test_an_address_is_split_at_its_last_colon() -> None:
    assert split_address("[2001:db8::1]:443") == ("2001:db8::1", 443)
    assert split_address("localhost:0") == ("localhost", 0)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:8080", Endpoint("127.0.0.1:8080")),
        ("  [::1]:0 ", Endpoint("[::1]:0")),
        ("unix:/run/t.sock", Endpoint("unix:/run/t.sock")),
        (
            "unix:/run/t.sock group=www-data mode=0666 trusted",
            Endpoint("unix:/run/t.sock", trusted=True, mode=0o666, group="www-data"),
        ),
        ("0.0.0.0:443 tls", Endpoint("0.0.0.0:443", tls=True)),
        ("0.0.0.0:80 redirect", Endpoint("0.0.0.0:80", redirect=443)),
        ("0.0.0.0:80 redirect=8443", Endpoint("0.0.0.0:80", redirect=8443)),
        ("10.0.0.5:443 proxy tls", Endpoint("10.0.0.5:443", tls=True, proxy=True)),
        ("10.0.0.5:8081 proxy", Endpoint("10.0.0.5:8081", proxy=True)),
        ("unix:/run/t.sock mode=600", Endpoint("unix:/run/t.sock", mode=0o600)),
    ],
)
def test_a_listener_is_an_address_and_words(text: str, endpoint: Endpoint) -> None:
    assert read_endpoint(text) == endpoint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", '"host:port"'),
        ("8080", '"host:port"'),
        ("a:65536", "65535"),
        ("unix:", "absolute"),
        ("unix:t.sock", "absolute"),
        ("unix:/run/", "absolute"),
        ("unix:/" + "x" * 107, "at most 107 bytes"),
        ("127.0.0.1:80 trusted", '"trusted" does not go with 127.0.0.1:80'),
        ("127.0.0.1:80 mode=0660", '"mode=0660" does not go with'),
        ("unix:/t colour", '"colour" does not go with unix:/t; what does: proxy, mode, group, trusted'),
        ("unix:/t tls", "does not go with"),
        ("unix:/t redirect", "does not go with"),
        ("a:80 redirect=", "the port of HTTPS"),
        ("a:80 redirect=0", "the port of HTTPS"),
        ("a:80 redirect=65536", "the port of HTTPS"),
        ("a:80 redirect tls", "do not go together"),
        ("unix:/t proxy trusted", "do not go together"),
        ("unix:/t trusted trusted", "twice"),
        ("unix:/t trusted=yes", "takes no value"),
        ("unix:/t mode=9", "octal"),
        ("unix:/t mode=7777", "octal"),
        ("unix:/t group=", "name"),
    ],
)
def test_what_is_none_is_told_what_would_be(text: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_endpoint(text)
    assert said in str(caught.value)


def test_the_path_is_that_of_a_unix_socket_only() -> None:
    assert read_endpoint("unix:/run/t.sock").path == "/run/t.sock"
    assert read_endpoint("127.0.0.1:80").path == ""
