"""trackflowd.certificates and trackflowd.proto.certificate: what a certificate says, which is shown, what is wrong."""

from __future__ import annotations

import base64
import ssl
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import tlsfiles
from trackflowd.certificates import Certificates, Pair, read_pairs
from trackflowd.errors import ConfigError
from trackflowd.proto.certificate import facts
from trackflowd.tlssection import Tls

Files = tuple[Path, Path]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    directory = tmp_path_factory.mktemp("tls")
    return {
        "a": tlsfiles.make(directory, "a", ["a.example", "*.A.example"], days=20),
        "b": tlsfiles.make(directory, "b", ["b.example", "deep.x.a.example"], rsa=True, days=20_000),
        "none": tlsfiles.make(directory, "none", []),
    }


@pytest.mark.parametrize(
    ("name", "names", "days"),
    [("a", ("a.example", "*.a.example"), 20), ("b", ("b.example", "deep.x.a.example"), 20_000), ("none", (), 90)],
)
def test_names_and_end_are_read(files: dict[str, Files], name: str, names: tuple[str, ...], days: int) -> None:
    found = facts(files[name][0].read_bytes())
    assert found.names == names
    assert abs(found.ends - time.time() - days * 86_400) < 86_400
    text = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-in", str(files[name][0])],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert found.ends == ssl.cert_time_to_seconds(text.removeprefix("notAfter="))


@given(st.data())
def test_a_broken_certificate_is_a_value_error_and_nothing_else(files: dict[str, Files], data: st.DataObject) -> None:
    der = ssl.PEM_cert_to_DER_cert(files["a"][0].read_text())
    at = data.draw(st.integers(0, len(der) - 1))
    broken = der[:at] + data.draw(st.binary(max_size=6)) + der[at + data.draw(st.integers(0, 6)) :]
    pem = b"-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----" % base64.b64encode(broken)
    try:
        facts(pem)
    except ValueError:
        pass


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"])
def test_what_holds_no_certificate_says_so(pem: bytes) -> None:
    with pytest.raises(ValueError, match="certificate"):
        facts(pem)


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("a.example", "a"),
        ("shop.a.example", "a"),
        ("shop.a.example.", "a"),
        ("b.example", "b"),
        ("deep.x.a.example", "b"),
        ("x.x.a.example", "none"),  # a star is one label
        ("x.b.example", "none"),
        ("", "none"),
        ("*.a.example", "a"),
        (".", "none"),
        ("a" * 300, "none"),
    ],
)
def test_the_certificate_for_the_name_is_shown_or_else_the_first(
    files: dict[str, Files], asked: str, shown: str
) -> None:
    order = ["none", "a", "b"]
    certificates = Certificates([tlsfiles.pair(files[name]) for name in order])
    ends = {facts(files[name][0].read_bytes()).ends: name for name in order}
    context = certificates.pick(asked)
    (number,) = {n for n, name in enumerate(order) if certificates.pick(facts(files[name][0].read_bytes()).names[0]
                 if name != "none" else "") is context}  # fmt: skip
    assert ends[certificates.facts[number].ends] == shown


def test_one_file_may_hold_certificate_and_key(files: dict[str, Files], tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join(path.read_bytes() for path in files["a"]))
    assert Certificates(read_pairs(Tls((str(both),)))).facts[0].names == ("a.example", "*.a.example")


def test_what_is_wrong_with_files_is_said(files: dict[str, Files], tmp_path: Path) -> None:
    (a, a_key), (_, b_key) = files["a"], files["b"]
    empty, secret = tmp_path / "empty", tmp_path / "secret"
    empty.touch()
    command = ["openssl", "ec", "-in", str(a_key), "-aes128", "-passout", "pass:x", "-out", str(secret)]
    subprocess.run(command, check=True, capture_output=True)
    for certificate, key, said in (
        (a, files["none"][1], f"tls.key: the key is not that of the certificate {a}"),
        (a, b_key, f"tls.key: the key is not that of the certificate {a}"),
        (a, secret, f"tls.key: the key of {a} needs a password"),
        (a, empty, f"tls.certificate: {a} and its key cannot be used: "),
        (a, tmp_path / "no", f"tls.key: {tmp_path / 'no'} cannot be read: No such file"),
        (tmp_path / "no", a_key, "tls.certificate: .* cannot be read: No such file"),
        (empty, a_key, f"tls.certificate: {empty} holds no certificate in PEM form"),
        (a_key, a_key, "holds no certificate"),
    ):
        with pytest.raises(ConfigError, match=said):
            Certificates(read_pairs(Tls((str(certificate),), (str(key),))))


def test_a_certificate_that_is_cut_off_is_refused(files: dict[str, Files]) -> None:
    certificate, key, place = tlsfiles.pair(files["a"])
    for cut in range(0, len(certificate), 97):
        with pytest.raises(ConfigError):
            Certificates([Pair(certificate[:cut], key, place)])
