"""trackflowd.config and .sections: precedence, messages, automatic values, the way to a child."""

from __future__ import annotations

import ast
import os
import tomllib
from pathlib import Path

import pytest

from trackflowd import config, option, sections
from trackflowd.errors import ConfigError

PACKAGE = Path(config.__file__).parent
ENV = {"STATE_DIRECTORY": "/state"}


def write(directory: Path, text: str) -> str:
    path = directory / "t.toml"
    path.write_text(text)
    return str(path)


def wrong(path: str | None = None, sets: tuple[str, ...] = (), env: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.load(path, sets, env or {})
    return caught.value.text.splitlines()


def test_it_runs_with_nothing_set() -> None:
    cfg = config.load(None, [], ENV)
    assert cfg.http.listen == ("127.0.0.1:8080",)
    assert cfg.daemon.data_dir == "/state"
    assert cfg.control.socket == "/state/control.sock"
    assert cfg.daemon.workers == min(len(os.sched_getaffinity(0)), sections.MAX_WORKERS)


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    path = write(tmp_path, "[batch]\nmax_rows = 1\nmax_age = 2\n[query]\nmax_rows = 3\n")
    env = ENV | {"TRACKFLOW_BATCH_MAX_ROWS": "10", "TRACKFLOW_BATCH_MAX_AGE": "20s"}
    cfg = config.load(path, ["batch.max_rows=100"], env)
    assert (cfg.batch.max_rows, cfg.batch.max_age, cfg.query.max_rows) == (100, 20.0, 3)
    assert cfg.batch.max_bytes == sections.Batch().max_bytes


def test_the_last_of_two_flags_wins() -> None:
    assert config.load(None, ["batch.max_rows=1", "batch.max_rows=2"], ENV).batch.max_rows == 2


def test_every_mistake_is_named_with_file_and_line(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '# comment\n[http]\nlisten = [\n  "8080",\n]\nmax_hed = 3\n\n[lgo]\nlevel = "x"\n[batch]\nmax_age = "1 x"\n',
    )
    lines = wrong(path, ("nonsense",), {"TRACKFLOW_HTTP_LISTN": "x"})
    assert [line.removeprefix(f"{path}, ") for line in lines] == [
        'line 3: http.listen must be "host:port" or "[address]:port", the port at most 65535, not ["8080"]',
        "line 6: no option is called http.max_hed; did you mean http.max_head?",
        "line 8: no section is called lgo; did you mean log?",
        'line 11: batch.max_age must be a duration such as "500ms", "30s", "5m" or a number of seconds, not "1 x"',
        "$TRACKFLOW_HTTP_LISTN: no option has this name; did you mean $TRACKFLOW_HTTP_LISTEN?",
        "--set nonsense: must be section.name=value",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[log]\nlevel = "loud"\n', 'line 2: log.level must be one of "debug", "info", "warning", "error", not "loud"'),
        ("[http]\nmax_url = 65536\n", "line 2: http.max_url must be at most 65535, not 65536"),
        ("[daemon]\nstall_after = 0.5\n", "line 2: daemon.stall_after must be at least 1s, not 0.5"),
        ("\nhttp.max_url = 1\n", "line 2: http.max_url must be at least 256, not 1"),
        ("[http]\n[http.listen]\nx = 1\n", "line 2: http.listen must be a list of texts such as"),
        ("[[http]]\nmax_url = 1\n", "line 1: http is a section, written [http] on a line of its own"),
        ("http = 3\n", "line 1: http is a section, written [http] on a line of its own"),
        ("[batch]\nage = 1\n", "line 2: no option is called batch.age"),
        ("[query]\nmax_age = 1\n", "line 2: no option is called query.max_age; did you mean batch.max_age?"),
        ('[http]\nevent_path = "/t.js"\n', "line 2: http.event_path and http.script_path must be different paths"),
        ('[http]\nscript_path = ["/a.js", "/v1/events"]\n', "http.event_path and http.script_path must be different"),
        ('[http]\nlisten = ["a:1 tls"]\n', "line 2: a listener with tls needs a tls.certificate"),
        ('[tls]\nkey = ["/k"]\n', "line 2: tls.key names 1 files and tls.certificate 0: one for each"),
        ('[http]\nmax_head = "4KiB"\n', "line 2: http.max_url must not be above http.max_head"),
        (
            "[sites]\naddress_burst = 5\n",
            "line 2: sites.address_burst must be at least 1, and goes with sites.address_rate",
        ),
        ('[ring]\nsize = "4KiB"\n', "line 2: ring.size must be 0 (automatic) or at least 64KiB"),
        ('[ring]\ndurability = "tape"\n', 'line 2: ring.durability must be one of "process", "disk", not "tape"'),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, line: str) -> None:
    assert line in "\n".join(wrong(write(tmp_path, text)))


def test_a_file_that_is_not_toml_names_the_line(tmp_path: Path) -> None:
    assert "line 2" in wrong(write(tmp_path, "[http]\nlisten = \n"))[0]


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    assert wrong(str(tmp_path / "none.toml")) == [f"{tmp_path}/none.toml: cannot be read: No such file or directory"]
    (tmp_path / "b.toml").write_bytes(b"\xff")
    assert wrong(str(tmp_path / "b.toml")) == [f"{tmp_path}/b.toml: is not UTF-8"]


def test_a_password_is_in_no_message(tmp_path: Path) -> None:
    assert "hunter2" not in "\n".join(wrong(None, ("store.url=clickhouse://u:hunter2@",)))


@pytest.mark.parametrize(
    ("name", "meant"),
    [("HTPP_LISTEN", "HTTP_LISTEN"), ("HTPP__LISTEN", "HTTP_LISTEN"), ("STORES_URL", "STORE_URL")],
)
def test_a_slip_in_the_section_of_a_variable_is_named(name: str, meant: str) -> None:
    said = f"$TRACKFLOW_{name}: no option has this name; did you mean $TRACKFLOW_{meant}?"
    assert wrong(None, (), {f"TRACKFLOW_{name}": "x"}) == [said]


def test_a_list_is_shown_as_it_is_written_in_a_flag_and_in_a_file(tmp_path: Path) -> None:
    for sets, env in ((('http.trusted_proxies=["::1/128"]',), {}), ((), {"TRACKFLOW_HTTP_TRUSTED_PROXIES": "x"})):
        assert 'must be a list of networks such as "127.0.0.0/8,::1/128", not' in wrong(None, sets, env)[0]
    assert config.load(None, ["http.trusted_proxies=127.0.0.0/8,::1/128"], ENV).http.trusted_proxies
    path = write(tmp_path, '[http]\ntrusted_proxies = ["x"]\n')
    assert 'such as ["127.0.0.0/8", "::1/128"], not' in wrong(path)[0]


def test_a_variable_of_another_program_is_let_be() -> None:
    # Kubernetes sets such a name for every service called "trackflow".
    assert config.load(None, [], ENV | {"TRACKFLOW_SERVICE_HOST": "10.0.0.1", "TRACKFLOW_PORT": "x"})


def test_the_data_directory_is_where_the_system_has_such_things(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.load(None, [], {"STATE_DIRECTORY": "/a:/b"}).daemon.data_dir == "/a"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert config.load(None, [], {}).daemon.data_dir == "/var/lib/trackflow"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/u")
    assert config.load(None, [], {}).daemon.data_dir == "/home/u/.local/share/trackflow"


def test_a_relative_data_directory_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = config.load(None, ["daemon.data_dir=.data"], {})
    assert cfg.daemon.data_dir == str(tmp_path / ".data")
    assert cfg.control.socket == str(tmp_path / ".data" / "control.sock")


def test_a_ring_is_a_32nd_of_the_memory_within_bounds() -> None:
    mib, gib = 2**20, 2**30
    assert config.ring_size(4 * gib, 2) == 128 * mib
    assert config.ring_size(64 * gib, 2) == 256 * mib
    assert config.ring_size(256 * mib, 1) == 16 * mib
    assert config.ring_size(256 * mib, 2) == 12 * mib  # a tenth of the memory for all
    assert config.ring_size(64 * mib, 64) == mib


def test_a_ring_size_is_rounded_up_to_whole_pages() -> None:
    assert config.load(None, ["ring.size=65537"], ENV).ring.size == 69632


def test_a_child_reads_back_what_the_supervisor_wrote() -> None:
    sets = ["http.listen=a:1,b:2", "http.demo=true", "store.url=clickhouse://u:p@h:1/d", "batch.max_age=250ms"]
    cfg = config.load(None, sets, ENV)
    assert config.load_dump(config.dump(cfg)) == cfg


@pytest.mark.parametrize("text", ["", "[]", '{"http": {"nope": 1}}', '{"http": {"demo": 3}}', '{"http": 3}'])
def test_a_dump_of_another_version_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        config.load_dump(text)


def test_every_default_satisfies_its_own_row() -> None:
    for row in config.options():
        value = row.kind.read(tomllib.loads(f"x = {row.kind.write(row.default)}")["x"])
        assert value == row.default, row.key
        assert type(value) is type(row.default), row.key
        option.check(row.spec, value)


def test_every_name_in_the_environment_is_of_one_option_only() -> None:
    names = [row.env for row in config.options()]
    assert len(names) == len(set(names))


def test_every_option_is_read_by_some_module() -> None:
    own = {PACKAGE / name for name in ("config.py", "sections.py", "option.py", "config_text.py")}
    read = set()
    for path in set(PACKAGE.rglob("*.py")) - own:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                read.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):  # getattr
                read.add(node.value)
    assert [row.key for row in config.options() if row.name not in read] == []


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["store.url=clickhouse://a:1,b:2/d"], "need a store.cluster"),
        (["store.replicas=2"], "need a store.cluster"),
        (["store.cluster=c"], "needs a clickhouse:// url"),
        (["store.url=clickhouse://a,b,c/d", "store.cluster=c", "store.replicas=2"], "must divide"),
        (["store.url=clickhouse://a:1,b:x/d", "store.cluster=c"], "store.url must be"),
    ],
)
def test_hosts_that_make_no_cluster_are_refused(sets: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config.load(None, sets, {"STATE_DIRECTORY": "/state"})


def test_a_cluster_of_hosts_is_taken() -> None:
    sets = ["store.url=clickhouse://u:p@a:1,b:2/d", "store.cluster=c", "store.replicas=2"]
    assert config.load(None, sets, {"STATE_DIRECTORY": "/state"}).store.cluster == "c"
