"""trackflowd.sealed: TLS on a transport that only takes notes, and by a real worker with real clients."""

from __future__ import annotations

import os
import random
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests import intakes, tlsfiles
from tests.doors import DiskHouse, House, Wire
from tests.workers import PATIENCE, Served, post, read_all, split_answers, until
from trackflowd.certificates import Certificates
from trackflowd.deferred import DeferredDoor
from trackflowd.door import LINGER, WRITE_LIMIT, Door
from trackflowd.porch import Porch, Unannounced
from trackflowd.sealed import Sealed
from trackflowd.tlssection import Tls

EVENT = b'{"site":"example.org","name":"pageview"}'
LINE = b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\n"
SCRIPT = b"GET /t.js HTTP/1.1\r\nHost: h\r\n\r\n"

Files = tuple[Path, Path]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Files, Files]:
    directory = tmp_path_factory.mktemp("tls")
    return tlsfiles.make(directory, "a", ["a.example"]), tlsfiles.make(directory, "b", ["b.example", "*.b.example"])


class Client:
    """A TLS client in memory, at the other end of a wire."""

    def __init__(self, wire: Wire, context: ssl.SSLContext, name: str = "a.example") -> None:
        self.wire = wire
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_hostname=name)
        self._read = 0
        self.got = b""

    def carry(self, piece: int = 1 << 20) -> None:
        """Take bytes there, this many at a time, and what is answered back."""
        out = self._out.read()
        for at in range(0, len(out), piece):
            if not self.wire.is_closing():
                self.wire.protocol.data_received(out[at : at + piece])
        self._in.write(self.wire.sent[self._read :])
        self._read = len(self.wire.sent)

    def shake(self, piece: int = 1 << 20) -> None:
        """Do the handshake."""
        for _ in range(3):
            with suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
            self.carry(piece)

    def send(self, data: bytes, piece: int = 1 << 20) -> None:
        self.tls.write(data)
        self.carry(piece)

    def read(self) -> bytes:
        """All that has come so far; b"" and the farewell are the same."""
        self.carry()
        with suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while part := self.tls.read(65536):
                self.got += part
        return self.got


class Step:
    """A house that speaks TLS."""

    def __init__(self, house: House, files: tuple[Files, ...], **tls: Any) -> None:
        self.house = house
        self.porch = Porch(house.hall, Tls(**tls), house.now)
        self.porch.certificates = Certificates([tlsfiles.pair(each) for each in files])
        self.context = tlsfiles.client(*(certificate for certificate, _ in files))

    def knock(self, *, announced: bool = False) -> tuple[Door, Wire]:
        house = self.house
        make = DeferredDoor if isinstance(house, DiskHouse) else Door
        door, wire = make(house.hall, house.soon.append), Wire(("203.0.113.9", 4711))  # type: ignore[arg-type]
        sealed = Sealed(self.porch, door, house.soon.append)
        wire.set_protocol(Unannounced(self.porch, sealed) if announced else sealed)
        wire.protocol.connection_made(wire)
        return door, wire

    def come(self) -> tuple[Door, Wire, Client]:
        """A client whose handshake is done."""
        door, wire = self.knock()
        client = Client(wire, self.context)
        client.shake()
        return door, wire, client

    def after(self, seconds: float) -> None:
        self.house.after(seconds)
        self.porch.tick(self.house.now)


@pytest.fixture
def step(tmp_path: Path, files: tuple[Files, Files]) -> Iterator[Step]:
    house = House(tmp_path, max_connections=3, max_connections_per_address=2, max_pipeline=4)
    yield Step(house, files)
    house.ring.close()


@pytest.mark.parametrize("piece", [1, 7, 1000, 1 << 20])
def test_requests_are_answered_however_the_bytes_are_cut(step: Step, piece: int) -> None:
    door, wire = step.knock()
    client = Client(wire, step.context)
    client.shake(piece)
    assert wire.high == WRITE_LIMIT and door.peer.address == "203.0.113.9" and not step.porch.guests
    for _ in range(2):
        client.send(post(EVENT, close=False), piece)
        step.house.run_soon()
    client.send(SCRIPT * 3 + post(EVENT), piece)
    step.house.run_soon()
    assert [status for status, _, _ in split_answers(client.read())] == [200] * 6
    assert len(intakes.rows(step.house.ring)) == 3
    assert wire.eof, "the farewell is said, and our side shut"
    step.after(LINGER + 0.3)
    assert wire.aborted


@pytest.mark.parametrize("name", ["a.example", "b.example", "shop.b.example"])
def test_the_certificate_is_that_of_the_name(step: Step, name: str) -> None:
    _, wire = step.knock()
    client = Client(wire, step.context, name)
    client.shake()
    shown = client.tls.getpeercert() or {}
    assert ("DNS", name if name != "shop.b.example" else "*.b.example") in shown["subjectAltName"]


def test_a_client_that_has_said_farewell_gets_its_answer_and_is_closed(step: Step) -> None:
    _, wire, client = step.come()
    client.tls.write(post(EVENT, close=False))
    with suppress(ssl.SSLWantReadError):
        client.tls.unwrap()
    client.carry()
    assert wire.closed
    assert len(intakes.rows(step.house.ring)) == 1
    wire.protocol.connection_lost(None)
    assert not step.house.hall.doors


def test_a_pipeline_waits_sealed_while_the_client_does_not_read(step: Step) -> None:
    _, wire, client = step.come()
    client.send(SCRIPT * 2)
    wire.protocol.pause_writing()
    assert not wire.reading
    client.send(SCRIPT)  # of what the socket had read before
    step.house.run_soon()
    assert len(split_answers(client.read())) == 2
    wire.protocol.resume_writing()
    step.house.run_soon()  # what was sealed is read …
    step.house.run_soon()  # … and answered
    assert wire.reading and len(split_answers(client.read())) == 3


def test_under_durability_disk_answers_wait_for_the_disk(tmp_path: Path, files: tuple[Files, Files]) -> None:
    house = DiskHouse(tmp_path)
    step = Step(house, files)
    _, wire, client = step.come()
    client.send(post(EVENT))
    assert client.read() == b""
    house.sync()
    assert split_answers(client.read())[0][0] == 200 and wire.eof
    house.ring.close()


def test_a_header_may_stand_before_the_handshake(step: Step) -> None:
    door, wire = step.knock(announced=True)
    client = Client(wire, step.context)
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    wire.protocol.data_received(LINE + client._out.read())  # in one read
    client.shake()
    client.send(post(EVENT))
    step.house.run_soon()
    assert split_answers(client.read())[0][0] == 200
    assert door.peer.address == "203.0.113.9"


def test_a_handshake_has_its_deadline_and_counts_among_connections(step: Step) -> None:
    _, first = step.knock()
    _, second = step.knock()
    _, third = step.knock()
    assert third.aborted and step.house.hall.turned_away == 1  # of one address
    first.protocol.data_received(b"\x16\x03")
    step.after(10.4)
    assert first.aborted and second.aborted
    assert (step.porch.unsealed, step.house.hall.late) == (2, 2)


def test_one_that_is_one_too_many_is_told_so_over_tls(step: Step) -> None:
    _, wire = step.knock()
    step.house.come(("203.0.113.9", 1))
    step.house.come(("203.0.113.9", 2))
    client = Client(wire, step.context)
    client.shake()
    assert split_answers(client.read())[0][0] == 503 and wire.eof


@pytest.mark.parametrize(
    "raw", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\0\x05\x01\0\0\x01a", LINE, b"\0", b"\xff" * 4000]
)
def test_garbage_is_closed_and_counted_once(step: Step, raw: bytes) -> None:
    _, wire = step.knock()
    wire.protocol.data_received(raw)
    assert wire.closed and step.porch.unsealed == 1
    wire.protocol.data_received(raw)
    wire.protocol.eof_received()
    assert step.porch.unsealed == 1
    wire.protocol.connection_lost(None)
    assert not step.porch.guests and not step.house.hall.doors


def test_a_record_that_was_changed_on_its_way_drops_the_connection(step: Step) -> None:
    _, wire, client = step.come()
    client.tls.write(post(EVENT))
    raw = bytearray(client._out.read())
    raw[len(raw) // 2] ^= 1
    wire.protocol.data_received(bytes(raw))
    step.house.run_soon()
    assert wire.aborted and intakes.rows(step.house.ring) == []


def test_a_drain_closes_what_is_idle_and_lets_handshakes_come_to_a_last_request(step: Step) -> None:
    _, wire, client = step.come()
    client.send(SCRIPT)
    step.house.run_soon()
    _, late = step.knock()
    step.house.hall.drain()
    step.porch.drain()
    assert wire.closed
    assert split_answers(client.read())[0][0] == 200
    client.tls.unwrap()  # it was said farewell to
    client = Client(late, step.context)
    client.shake()
    client.send(post(EVENT, close=False))
    assert split_answers(client.read())[0][1][b"connection"] == b"close" and late.eof


# ------------------------------------------------------------------ a real worker


@pytest.fixture
def served(tmp_path: Path, files: tuple[Files, Files]) -> Iterator[Served]:
    sets = ["http.listen=127.0.0.1:0 tls", f"tls.certificate={files[0][0]},{files[1][0]}", "tls.handshake_timeout=2"]
    served = Served(tmp_path / "data", [*sets, f"tls.key={files[0][1]},{files[1][1]}"])
    assert served.call("seal", pairs=[tlsfiles.pair(each)._asdict() for each in files])["ok"]
    yield served
    served.close()


def over_tls(served: Served, context: ssl.SSLContext, name: str = "a.example") -> bytes:
    with context.wrap_socket(served.connect(), server_hostname=name) as sock:
        sock.sendall(post(EVENT))
        return read_all(sock)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_clients_of_both_versions_are_served(
    served: Served, files: tuple[Files, Files], version: ssl.TLSVersion
) -> None:
    context = tlsfiles.client(files[0][0], files[1][0], minimum_version=version, maximum_version=version)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with context.wrap_socket(served.connect(), server_hostname="shop.b.example") as sock:
        assert sock.selected_alpn_protocol() == "http/1.1"
        kind, _, bits = sock.cipher() or ("", "", 0)
        assert bits >= 128 and ("GCM" in kind or "CHACHA20" in kind)
        sock.sendall(post(EVENT))
        assert split_answers(read_all(sock))[0][0] == 200
    assert len(served.rows()) == 1


def test_openssl_and_curl_agree_and_old_versions_are_refused(served: Served, files: tuple[Files, Files]) -> None:
    place = f"127.0.0.1:{served.address[1]}"

    def openssl(*words: str) -> str:
        command = ["openssl", "s_client", "-connect", place, *words]
        done = subprocess.run(command, input=b"", capture_output=True, timeout=PATIENCE, check=False)
        return (done.stdout + done.stderr).decode(errors="replace")

    said = openssl("-servername", "b.example", "-CAfile", str(files[1][0]), "-verify_return_error", "-alpn", "http/1.1")
    assert "Verify return code: 0 (ok)" in said and "ALPN protocol: http/1.1" in said
    assert "alert protocol version" in openssl("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    assert "handshake failure" in openssl("-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0")
    url = f"https://a.example:{served.address[1]}/v1/events"
    curl = ["curl", "-sS", "--cacert", str(files[0][0]), "--resolve", f"a.example:{served.address[1]}:127.0.0.1"]
    done = subprocess.run([*curl, "-d", EVENT.decode(), url], capture_output=True, timeout=PATIENCE, check=True)
    assert done.stdout == b'{"accepted":1,"refused":[]}'
    until("counted", lambda: served.slot.get("tls_failed") == 2)


def test_garbage_in_handshakes_hurts_nobody_else(served: Served, files: tuple[Files, Files]) -> None:
    context, dice = tlsfiles.client(files[0][0]), random.Random(7)
    hello = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="a.example").do_handshake()
    good, silent, bad = hello.read(), served.connect(), 0
    for turn in range(60):
        at = dice.randrange(6, len(good))
        raw = [os.urandom(200), good[:at] + os.urandom(50) + good[at + 50 :], good + os.urandom(99), good[:at]][
            turn % 4
        ]
        with served.connect() as sock:
            sock.sendall(raw)
            if turn % 4 == 3:
                sock.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):
                read_all(sock)
            bad += 1
        if turn % 4 == 0:
            assert split_answers(over_tls(served, context))[0][0] == 200
    assert silent.recv(1) == b""
    silent.close()
    until("counted", lambda: served.slot.get("tls_failed") == bad + 1)
    assert len(served.rows()) == 15
    assert served.stop() == 0
    assert "Traceback" not in (served.data_dir / "stderr").read_text()


def test_others_are_shown_once_the_worker_is_told_and_what_it_is_told_wrong_changes_nothing(
    served: Served, files: tuple[Files, Files]
) -> None:
    a, b = files
    with tlsfiles.client(a[0]).wrap_socket(served.connect(), server_hostname="a.example") as before:
        assert served.call("seal", pairs=[tlsfiles.pair(b)._asdict()])["ok"]
        assert split_answers(over_tls(served, tlsfiles.client(b[0]), "b.example"))[0][0] == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            over_tls(served, tlsfiles.client(a[0]))
        wrong = tlsfiles.pair((a[0], b[1]))._asdict()
        assert served.call("seal", pairs=[wrong])["error"]["text"].startswith("tls.key: the key is not that of")
        assert split_answers(over_tls(served, tlsfiles.client(b[0]), "b.example"))[0][0] == 200
        before.sendall(post(EVENT))  # it goes on with what it began with
        assert split_answers(read_all(before))[0][0] == 200
