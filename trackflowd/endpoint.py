"""One listener of ``http.listen`` as it is written: an address, and behind it words that say how it is spoken to.

::

    127.0.0.1:8080
    0.0.0.0:443 tls
    0.0.0.0:80 redirect
    10.0.0.5:8081 proxy
    unix:/run/trackflow/events.sock mode=0660 group=www-data trusted

Words and what each goes with are in ``WORDS``; docs/listeners.md explains them to people.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

_HOST_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})\Z")
_MODE = re.compile(r"0?[0-7]{3}\Z")
_GROUP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}\Z")
_PORT = re.compile(r"[1-9]\d{0,4}\Z")
UNIX = "unix:"
#: Port of https:// where a URL names none.
HTTPS = 443
#: Bytes of a socket's path: sun_path of unix(7) has 108, the last is NUL.
_MAX_PATH = 107

#: Words by the kind of address they go with.
WORDS = {"tcp": ("tls", "redirect", "proxy"), "unix": ("proxy", "mode", "group", "trusted")}


class Endpoint(NamedTuple):
    """A listener.

    Args:
        address: "host:port" or "unix:/path".
        tls: it speaks TLS, with the certificates of section ``tls``.
        redirect: port at which HTTPS is, to which everything is sent; 0: requests are answered here.
        proxy: each connection begins with a PROXY header, which names the client.
        trusted: whoever connects is a proxy whose word on the client's address counts (unix sockets only; of others
            ``http.trusted_proxies`` decides).
        mode, group: of a unix socket's file; "": the daemon's own group.
    """

    address: str
    tls: bool = False
    redirect: int = 0
    proxy: bool = False
    trusted: bool = False
    mode: int = 0o660
    group: str = ""

    @property
    def path(self) -> str:
        """Of a unix socket; "" for any other."""
        return self.address[len(UNIX) :] if self.address.startswith(UNIX) else ""


def split_address(text: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[v6]:port"; ValueError says what it must be."""
    match = _HOST_PORT.match(text)
    if match is None or int(match[3]) > 65535:
        raise ValueError('must be "host:port" or "[address]:port", the port at most 65535')
    if match[1] is not None:
        ipaddress.IPv6Address(match[1])
    return match[1] or match[2], int(match[3])


def read_endpoint(text: str) -> Endpoint:
    """The listener that text is; ValueError says what it must be."""
    address, *words = text.split() or [""]
    if address.startswith(UNIX):
        path = address[len(UNIX) :]
        if not path.startswith("/") or path.endswith("/") or "\0" in path or len(path.encode()) > _MAX_PATH:
            raise ValueError(f'must be "unix:/path", the path absolute and at most {_MAX_PATH} bytes')
        kind = "unix"
    else:
        split_address(address)
        kind = "tcp"
    endpoint = Endpoint(address)
    names = [word.partition("=")[0] for word in words]
    for name, word in zip(names, words, strict=True):
        if name not in WORDS[kind]:
            raise ValueError(f'"{word}" does not go with {address}; what does: {", ".join(WORDS[kind])}')
        if names.count(name) > 1:
            raise ValueError(f'"{name}" is there twice behind {address}')
        endpoint = _with(endpoint, word)
    if endpoint.tls and endpoint.redirect:
        raise ValueError('"tls" and "redirect" do not go together: what comes by TLS is where it should be')
    if endpoint.proxy and endpoint.trusted:
        raise ValueError('"proxy" and "trusted" do not go together: the PROXY header names the client')
    return endpoint


def _with(endpoint: Endpoint, word: str) -> Endpoint:
    name, equals, value = word.partition("=")
    if name == "mode":
        if not _MODE.match(value):
            raise ValueError(f'mode must be octal, such as "mode=0660", not "{word}"')
        return endpoint._replace(mode=int(value, 8))
    if name == "group":
        if not _GROUP.match(value):
            raise ValueError(f'group must be a group\'s name, such as "group=www-data", not "{word}"')
        return endpoint._replace(group=value)
    if name == "redirect":
        if equals and not (_PORT.match(value) and 0 < int(value) <= 65535):
            raise ValueError(f'redirect takes the port of HTTPS, such as "redirect=8443", not "{word}"')
        return endpoint._replace(redirect=int(value) if equals else HTTPS)
    if equals:
        raise ValueError(f'"{name}" takes no value, not "{word}"')
    flags = endpoint.tls or name == "tls", endpoint.proxy or name == "proxy", endpoint.trusted or name == "trusted"
    return endpoint._replace(tls=flags[0], proxy=flags[1], trusted=flags[2])
