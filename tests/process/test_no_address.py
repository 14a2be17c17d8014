"""The client's address reaches neither ring, log, store nor shared memory, in any spelling."""

from __future__ import annotations

import base64
import ipaddress
import os
from contextlib import suppress
from pathlib import Path

import pytest

from tests.process.harness import Daemon
from tests.process.test_exactly_once import page_of

V4 = "203.0.113.77"
ANOTHER_V4 = "198.18.55.201"
V6 = "2001:db8:1234:5678:9abc:def0:1357:2468"
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"


def needles(address: str) -> set[bytes]:
    """Ways to write an address: text, packed in both byte orders, hex, base64 at any alignment."""
    ip = ipaddress.ip_address(address)
    texts = {address, ip.exploded, ip.compressed, address.upper(), ip.reverse_pointer}
    raws = {ip.packed, ip.packed[::-1]}
    found = {text.encode() for text in texts} | raws
    for raw in raws:
        found |= {raw.hex().encode(), raw.hex().upper().encode(), raw.hex(":").encode()}
    if ip.version == 4:
        found.add(str(int(ip)).encode())
        found.add(b"::ffff:%s" % address.encode())
        found -= raws  # four bytes turn up by chance: see ``assert_nowhere``
        found.add(b"\0" * 10 + b"\xff\xff" + ip.packed)
    for raw in {*raws, *(text.encode() for text in texts)}:
        for shift in range(3):  # base64 of something longer, in which the address stands anywhere
            inner = base64.b64encode(b"\0" * shift + raw)
            cut = inner[4 if shift else 0 : -4]
            if len(cut) >= 8:
                found.add(cut)
                found.add(cut.translate(bytes.maketrans(b"+/", b"-_")))
    return found


def places(daemon: Daemon) -> dict[str, bytes]:
    """Everything the daemon keeps anywhere, by name."""
    found = {}
    for root in (daemon.directory, Path("/dev/shm")):
        for folder, folders, names in os.walk(root):  # which passes over a folder that goes meanwhile
            folders[:] = [one for one in folders if not one.startswith("tfd")]  # a Docker engine of a test beside us
            for path in (Path(folder, name) for name in names):
                # Another program's may go meanwhile, or be none that can be read (a network namespace).
                with suppress(FileNotFoundError if root == daemon.directory else OSError):
                    if path.is_file():
                        found[str(path)] = path.read_bytes()
    assert any("rings" in name for name in found)
    return found


def shared_memory(daemon: Daemon) -> bytes:
    """The shared page and every other anonymous file the supervisor holds."""
    assert daemon.process is not None
    raw = b""
    for link in Path(f"/proc/{daemon.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # a file of that moment, closed meanwhile
            if os.readlink(link).startswith("/memfd:"):
                raw += link.read_bytes()
    assert raw
    return raw


def assert_nowhere(where: dict[str, bytes]) -> None:
    """No address in any spelling; four packed bytes alone are no proof, those of two addresses in one place are."""
    pair = [ipaddress.ip_address(address).packed for address in (V4, ANOTHER_V4)]
    for name, raw in where.items():
        for a, b in (pair, [packed[::-1] for packed in pair]):
            assert a not in raw or b not in raw, f"{V4} and {ANOTHER_V4} packed in {name}"
    for address in (V4, ANOTHER_V4, V6):
        for needle in needles(address):
            for name, raw in where.items():
                assert needle not in raw, f"{address} as {needle!r} in {name}"


def send(daemon: Daemon, n: int) -> None:
    """Events, refused events and malformed requests from both addresses, straight and forwarded."""
    headers = {V4: f"for={V4}", ANOTHER_V4: f"for={ANOTHER_V4}:80", V6: f'for="[{V6}]:4711"'}
    for address, forwarded in headers.items():
        event = {"site": "address.example", "name": "pageview", "id": f"{n}-{address[:5]}", "url": "https://a.example/"}
        assert daemon.post(event, X_Forwarded_For=f"198.51.100.9, {address}", User_Agent=AGENT)[0] == 200
        assert daemon.post(event | {"id": f"f{n}-{address[:5]}"}, Forwarded=forwarded, User_Agent=AGENT)[0] == 200
        assert daemon.post({"site": "x"}, X_Forwarded_For=address)[0] == 400
        assert daemon.request("/nowhere", None, X_Forwarded_For=address)[0] == 404


@pytest.mark.parametrize("end", ["drain", "kill -9"])
def test_the_address_is_nowhere_in_any_spelling(tmp_path: Path, end: str) -> None:
    sets = ("http.trusted_proxies=127.0.0.0/8", "store.url=chdb:", "batch.max_age=1h" if end == "kill -9" else "")
    with Daemon(tmp_path, *filter(None, sets)) as daemon:
        send(daemon, 1)
        if end == "drain":
            daemon.flush()
            dump = daemon.call("query", sql="SELECT *, hex(visitor) FROM events", format="csv")
            assert dump.count(b"address.example") == 6
            assert_nowhere({"SELECT *": dump, "shared memory": shared_memory(daemon)})
            assert daemon.stop() == 0
        else:
            page_of(daemon).close()
            assert_nowhere({"shared memory": shared_memory(daemon)})
            daemon.end()
            rings = [path.read_bytes() for path in (daemon.data_dir / "rings").glob("*.ring")]
            assert any(b"address.example" in raw for raw in rings)
        assert_nowhere(places(daemon))


def test_the_search_finds_what_is_there() -> None:
    """A negative control: each spelling, put somewhere, is found."""
    packed = b"".join(ipaddress.ip_address(address).packed for address in (V4, ANOTHER_V4))
    with pytest.raises(AssertionError, match="packed in there"):
        assert_nowhere({"there": b"some text " + packed})
    for address in (V4, V6):
        ip = ipaddress.ip_address(address)
        hidden = [address.encode(), ip.packed.hex().encode(), base64.b64encode(b"xy" + address.encode() + b"z" * 5)]
        for raw in hidden:
            with pytest.raises(AssertionError, match="in there"):
                assert_nowhere({"there": b"some text " + raw + b" and more"})
