"""trackflowd.static: codings, versions, and the paths filled into the scripts."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from trackflowd import static
from trackflowd.static import Form, Scripts, Static, asset, demo_page, digest, preferred

ASSETS = Path(static.__file__).parent / "assets"
USUAL = {"event_path": "/v1/events", "pixel_path": "/v1/pixel.gif"}
FORMS = tuple(Form(coding, b"", b"") for coding in (b"br", b"gzip", b"identity"))
NAMES = [name for name in static.SCRIPTS.values() if asset(name)]


def body(scripts: Scripts, path: str, **headers: str) -> bytes:
    found = scripts.find(path.encode())
    assert found is not None
    return found[0].choose({name.replace("_", "-").encode(): text.encode() for name, text in headers.items()})[2]


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, b"identity"),
        ("", b"identity"),
        ("gzip, deflate, br, zstd", b"br"),
        ("gzip, deflate", b"gzip"),
        ("x-gzip", b"gzip"),
        ("GZIP;Q=0.5", b"gzip"),
        ("gzip;q=1.0, br;q=0.5", b"gzip"),
        ("gzip; q=0.8 , br ;q=0.801", b"br"),
        ("br;q=0, gzip;q=0.001", b"gzip"),
        ("br;q=0, *", b"gzip"),
        ("*", b"br"),
        ("*;q=0", b"identity"),
        ("identity, gzip;q=0.5", b"identity"),
        ("identity;q=0.4, gzip;q=0.5", b"gzip"),
        ("identity;q=0", b"identity"),
        ("deflate", b"identity"),
        ("br;q=2, gzip;q=-1", b"identity"),
        ("br;q=, gzip;quality=1", b"identity"),
        (",;,=,;q", b"identity"),
    ],
)
def test_the_coding_is_the_one_the_client_prefers(accepted: str | None, coding: bytes) -> None:
    assert preferred(FORMS, None if accepted is None else accepted.encode()).coding == coding


def test_each_coding_has_its_own_etag_and_is_told_from_the_others() -> None:
    name = NAMES[0]
    file = Static(name, asset(name) or b"", b"")
    answers = [file.choose({b"accept-encoding": coding}) for coding in (b"br", b"gzip", b"")]
    assert [(b"Content-Encoding: br" in a[1], b"Content-Encoding: gzip" in a[1]) for a in answers] == [
        (True, False),
        (False, True),
        (False, False),
    ]
    assert len({form.etag for form in file.forms}) == 3
    assert all(b"Vary: Accept-Encoding" in lines for _, lines, _ in answers)
    for form in file.forms:
        asked = {b"accept-encoding": form.coding, b"if-none-match": b'"other", W/' + form.etag}
        assert file.choose(asked)[0] == 304
        assert file.choose(asked | {b"if-none-match": b'"%s-other"' % digest(b"").encode()})[0] == 200
    assert file.choose({b"accept-encoding": b"br", b"if-none-match": file.forms[1].etag})[0] == 200


@pytest.mark.parametrize("name", NAMES)
def test_every_script_has_a_brotli_file_that_holds_it(name: str) -> None:
    content = asset(name) or b""
    packed = ASSETS / f"{name}.{digest(content)}.br"
    assert packed.exists(), "run: node tools/pack.mjs"
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    program = "process.stdout.write(require('zlib').brotliDecompressSync(require('fs').readFileSync(0)))"
    ran = subprocess.run([node, "-e", program], input=packed.read_bytes(), capture_output=True, check=True)
    assert ran.stdout == content
    assert len(packed.read_bytes()) < len(gzip.compress(content, 9))


def test_no_brotli_file_is_left_over() -> None:
    wanted = {f"{name}.{digest(asset(name) or b'')}.br" for name in NAMES}
    assert {path.name for path in ASSETS.glob("*.br")} == wanted, "run: node tools/pack.mjs"


def test_a_brotli_file_of_another_content_is_not_served() -> None:
    name = NAMES[0]
    other = Static(name, b"other", b"")
    assert [form.coding for form in other.forms] == [b"gzip", b"identity"]
    assert gzip.decompress(other.choose({b"accept-encoding": b"br, gzip"})[2]) == b"other"


@pytest.mark.parametrize(
    ("script", "event", "near"),
    [
        ("/t.js", "/in", b"in"),
        ("/js/app.js", "/in", b"../in"),
        ("/js/app.js", "/js/in/", b"in/"),
        ("/a/b/c.js", "/a/x/y", b"../x/y"),
    ],
)
def test_a_renamed_path_is_filled_in_relative_to_the_script(script: str, event: str, near: bytes) -> None:
    scripts = Scripts(script, USUAL | {"event_path": event})
    assert b'"' + near + b'"' in body(scripts, script)
    assert b"v1/events" not in body(scripts, script)
    found = scripts.find(script.encode())
    assert found is not None
    assert b"event=" + near + b"; pixel=" in found[0].choose({})[1]


@pytest.mark.parametrize(
    ("name", "usual"), [("t.js", b"v1/events"), ("t.js", b"v1/pixel.gif"), ("t.min.js", b"v1/events")]
)
def test_a_script_names_each_usual_path_once(name: str, usual: bytes) -> None:
    assert (asset(name) or b"").count(usual) == 1


def test_the_usual_paths_leave_the_script_as_it_is_built() -> None:
    assert body(Scripts("/t.js", USUAL), "/t.js") == asset("t.js")
    assert Scripts("/t.js", USUAL).version == Scripts("/s.js", USUAL).version


def test_a_version_stands_for_the_paths_too() -> None:
    assert Scripts("/t.js", USUAL).version != Scripts("/t.js", USUAL | {"event_path": "/in"}).version


def test_every_file_has_its_name_beside_the_script_with_and_without_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"t.js": b"core", "t.extras.js": b"extras", "t.min.js": b"min"}
    monkeypatch.setattr(static, "asset", files.get)
    for path, stem, suffix in (
        ("/a/hello.js", "/a/hello", ".js"),
        ("/a.js/x", "/a.js/x", ""),
        ("/x.mjs", "/x.mjs", ""),
    ):
        scripts = Scripts(path, USUAL)
        ends = [(suffix, b"core"), (".extras.js", b"extras"), (".min.js", b"min")]
        for end, content in ends if suffix else [*ends, (".extras", b"extras")]:
            for version in ("", f".{scripts.version}", ".0123456789ab"):
                assert body(scripts, f"{stem}{version}{end}") == content
        assert scripts.versioned_path == f"{stem}.{scripts.version}{suffix}"
        for wrong in (f"{stem}.other{suffix}", f"{path}/", f"{path}x", f"x{path}", f"{stem}.012{suffix}", "/"):
            assert scripts.find(wrong.encode()) is None


@pytest.mark.parametrize("path", ["/t.js", "/js/app.js", "/stats", "/x.mjs"])
def test_the_script_finds_its_extras(path: str) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    rule = re.search(r"src\.(replace\(/.*?/,\s*\"[^\"]*\"\))", (ASSETS / "t.js").read_text())
    assert rule is not None
    for src in (path, Scripts(path, USUAL).versioned_path):
        ran = subprocess.run([node, "-p", f"'{src}'.{rule[1]}"], capture_output=True, text=True, check=True)
        assert body(Scripts(path, USUAL), ran.stdout.strip()) == asset("t.extras.js")


def test_only_the_current_version_is_kept_for_good() -> None:
    scripts = Scripts("/t.js", USUAL)
    policies = {}
    for path in ("/t.js", scripts.versioned_path, "/t.0123456789ab.js"):
        found = scripts.find(path.encode())
        assert found is not None
        policies[path] = found[1]
    assert list(policies.values()) == [
        b"Cache-Control: public, max-age=86400\r\n",
        b"Cache-Control: public, max-age=31536000, immutable\r\n",
        b"Cache-Control: public, max-age=300\r\n",
    ]


def test_the_demo_page_names_the_paths_in_effect() -> None:
    page = demo_page("/hello.js", "/in").choose({})[2]
    assert b'src="/hello.js"' in page and b"/t.js" not in page and b"/v1/events" not in page
