"""trackflowd.option: what each kind reads, refuses and writes."""

from __future__ import annotations

import tomllib

import pytest

from trackflowd import option
from trackflowd.option import Kind


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (option.DURATION, "500ms", 0.5),
        (option.DURATION, "30s", 30.0),
        (option.DURATION, "5m", 300.0),
        (option.DURATION, "1.5h", 5400.0),
        (option.DURATION, "2d", 172800.0),
        (option.DURATION, "7", 7.0),
        (option.DURATION, 1.5, 1.5),
        (option.DURATION, 3, 3.0),
        (option.SIZE, "64MB", 64_000_000),
        (option.SIZE, "64MiB", 67_108_864),
        (option.SIZE, "1.5KiB", 1536),
        (option.SIZE, "2GiB", 2**31),
        (option.SIZE, "10", 10),
        (option.SIZE, 4096, 4096),
        (option.COUNT, "12", 12),
        (option.COUNT, 0, 0),
        (option.FLAG, "true", True),
        (option.FLAG, "False", False),
        (option.FLAG, True, True),
        (option.NETWORKS, "127.0.0.0/8, ::1/128", ("127.0.0.0/8", "::1/128")),
        (option.NETWORKS, "", ()),
        (option.NETWORKS, ["10.0.0.7"], ("10.0.0.7",)),
        (option.ADDRESSES, "a:1,[::1]:0", ("a:1", "[::1]:0")),
        (option.ADDRESSES, ["unix:/run/t.sock  mode=0666  trusted"], ("unix:/run/t.sock mode=0666 trusted",)),
        (option.ADDRESS, "", ""),
        (option.ADDRESS, "0.0.0.0:8081", "0.0.0.0:8081"),
        (option.PATHS, "/v1/events", ("/v1/events",)),
        (option.PATHS, ["/e", "/f"], ("/e", "/f")),
        (option.SITES, "a.example, b", ("a.example", "b")),
        (option.WEBHOOK, "", ""),
        (option.WEBHOOK, "https://u:p@hooks.example:8443/a?b=c", "https://u:p@hooks.example:8443/a?b=c"),
        (option.STORE, "chdb:", "chdb:"),
        (option.STORE, "chdb:///srv/store", "chdb:///srv/store"),
        (option.STORE, "null:", "null:"),
        (option.STORE, "clickhouses://u:p@db.example:8443/web", "clickhouses://u:p@db.example:8443/web"),
        (option.STORE, "clickhouse://[::1]:8123/web", "clickhouse://[::1]:8123/web"),
        (option.STORE, "postgresql://u:p@db.example/web", "postgresql://u:p@db.example/web"),
        (option.STORE, "postgres://u@/web?host=/run/postgresql", "postgres://u@/web?host=/run/postgresql"),
    ],
)
def test_a_right_value_is_read(kind: Kind, raw: object, value: object) -> None:
    assert kind.read(raw) == value


@pytest.mark.parametrize(
    ("kind", "raw", "says"),
    [
        (option.DURATION, "30 parsecs", '"30s"'),
        (option.DURATION, "-1s", '"30s"'),
        (option.DURATION, -1, '"30s"'),
        (option.DURATION, float("nan"), '"30s"'),
        (option.DURATION, float("inf"), '"30s"'),
        (option.DURATION, True, '"30s"'),
        (option.SIZE, "64 mib", '"64KiB"'),
        (option.SIZE, -5, '"64KiB"'),
        (option.SIZE, 1.5, '"64KiB"'),
        (option.COUNT, "1e3", "whole number"),
        (option.COUNT, True, "whole number"),
        (option.COUNT, "9" * 16, "whole number"),
        (option.FLAG, "yes", "true or false"),
        (option.FLAG, 1, "true or false"),
        (option.TEXT, 3, "in quotes"),
        (option.NETWORKS, "10.0.0.1/8", '"10.0.0.0/8"'),
        (option.NETWORKS, ["localhost"], "127.0.0.0/8"),
        (option.NETWORKS, [1], "list of texts"),
        (option.ADDRESSES, [], "at least one"),
        (option.ADDRESSES, ["8080"], "host:port"),
        (option.ADDRESSES, ["a:65536"], "65535"),
        (option.ADDRESSES, ["::1:80"], "[address]:port"),
        (option.ADDRESS, "[::g]:80", "host:port"),
        (option.PATHS, "v1", "path such as"),
        (option.PATHS, [], "at least one path"),
        (option.PATHS, "//x", "path such as"),
        (option.PATHS, "/x?y", "path such as"),
        (option.FILES, ["etc/c.pem"], "absolute paths"),
        (option.FILES, ["/etc/\0"], "absolute paths"),
        (option.SITES, ["a b"], "example.com"),
        (option.SITES, ["a", "a"], "different"),
        (option.SITES, [f"s{n}" for n in range(33)], "at most 32"),
        (option.WEBHOOK, "ftp://h/", "https://"),
        (option.WEBHOOK, "https:///x", "https://"),
        (option.WEBHOOK, "https://h:99999/", "https://"),
        (option.WEBHOOK, "http://h/a b", "https://"),
        (option.WEBHOOK, "http://[", "https://"),
        (option.STORE, "mysql://host", "chdb:"),
        (option.STORE, "clickhouse:", "chdb:"),
        (option.STORE, "clickhouse://host:99999", "chdb:"),
        (option.STORE, "postgresql:///web", "chdb:"),
        (option.STORE, "chdb", "chdb:"),
        (option.STORE, "chdb://relative/path", "chdb:"),
    ],
)
def test_a_wrong_value_is_told_what_is_right(kind: Kind, raw: object, says: str) -> None:
    with pytest.raises(ValueError, match=r"must|the network is") as caught:
        kind.read(raw)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (option.DURATION, 0.5, '"500ms"'),
        (option.DURATION, 1.0, '"1s"'),
        (option.DURATION, 75.0, '"75s"'),
        (option.DURATION, 300.0, '"5m"'),
        (option.DURATION, 172800.0, '"2d"'),
        (option.SIZE, 0, "0"),
        (option.SIZE, 65535, "65535"),
        (option.SIZE, 32 * 2**10, '"32KiB"'),
        (option.SIZE, 2**31, '"2GiB"'),
        (option.TEXT, 'a"\\\n', '"a\\"\\\\\\u000a"'),
        (option.NETWORKS, ("::1/128", "10.0.0.7"), '["::1/128", "10.0.0.7"]'),
        (option.FLAG, False, "false"),
    ],
)
def test_a_value_is_written_as_toml_that_reads_back(kind: Kind, value: object, text: str) -> None:
    assert kind.write(value) == text
    assert kind.read(tomllib.loads(f"x = {text}")["x"]) == value
