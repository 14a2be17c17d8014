"""What of a page's HTML matters here: its scripts, pictures, and policies in meta tags. No I/O."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

#: Names the daemon gives its scripts if nobody else does, with and without a version (``static``).
_OUR_NAME = re.compile(r"t(\.[0-9a-f]{12})?(\.min)?(\.[0-9a-f]{12})?\.js")
#: Attributes only our tag has, or at least few others.
_OUR_ATTRIBUTES = frozenset({"data-site", "data-api"})
#: Values of type with which a browser runs a script at once (HTML, "JavaScript MIME type"; the old ones left out).
_RUN = frozenset({"", "module", "text/javascript", "application/javascript", "application/x-javascript"})
#: Programs that put scripts into pages, by a part of their own script's address.
_MANAGERS = (
    "googletagmanager.com",
    "/gtm.js",
    "tealiumiq.com",
    "adobedtm.com",
    "/piwik-pro/",
    "matomo.cloud/container",
)


class Tag(NamedTuple):
    """A script tag.

    Args:
        src: absolute url.
        attributes: by lower-case name; "" where there is no value.
    """

    src: str
    attributes: dict[str, str]

    @property
    def likely(self) -> bool:
        """It looks like ours."""
        name = urlsplit(self.src).path.rpartition("/")[2]
        return bool(_OUR_NAME.fullmatch(name) or _OUR_ATTRIBUTES & self.attributes.keys())

    @property
    def runs(self) -> bool:
        """A browser runs it without being told to by another script."""
        return self.attributes.get("type", "").strip().lower() in _RUN

    def options(self) -> dict[str, str]:
        """The data- attributes, without "data-"."""
        return {name[5:]: value for name, value in self.attributes.items() if name.startswith("data-")}


class Page(NamedTuple):
    """A page.

    Args:
        scripts: those with an address that run, in order.
        pictures: absolute urls.
        policies: of ``<meta http-equiv="Content-Security-Policy">``.
        managed: a tag manager is on it, which may put in scripts that are not to be seen here.
    """

    scripts: list[Tag]
    pictures: list[str]
    policies: list[str]
    managed: bool


class _Reader(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self.base = url
        self.scripts: list[Tag] = []
        self.pictures: list[str] = []
        self.policies: list[str] = []
        self.managed = False
        #: Inside of what is for browsers without scripts, or for scripts to copy.
        self._inert = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # of a repeated attribute the first counts
        attributes = {name: value or "" for name, value in reversed(attrs)}
        if tag in ("noscript", "template"):
            self._inert += 1
        elif tag == "base" and attributes.get("href"):
            self.base = join(self.base, attributes["href"])
        elif tag == "script" and attributes.get("src", "").strip() and not self._inert:
            self.scripts.append(Tag(join(self.base, attributes["src"].strip()), attributes))
        elif tag == "img" and attributes.get("src"):
            self.pictures.append(join(self.base, attributes["src"].strip()))
        elif tag == "meta" and attributes.get("http-equiv", "").strip().lower() == "content-security-policy":
            self.policies.append(attributes.get("content", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("noscript", "template") and self._inert:
            self._inert -= 1

    def handle_data(self, data: str) -> None:
        self.managed = self.managed or (self.cdata_elem == "script" and any(name in data for name in _MANAGERS))


def read(html: str, url: str) -> Page:
    """A page from its text.

    Args:
        html: as text; whatever is wrong with it is passed over, as browsers do.
        url: where it came from.
    """
    reader = _Reader(url)
    reader.feed(html)
    reader.close()
    managed = reader.managed or any(name in tag.src for tag in reader.scripts for name in _MANAGERS)
    return Page(reader.scripts, reader.pictures, reader.policies, managed)


def join(base: str, url: str) -> str:
    """A url as it stands in a page of address base, made absolute; itself where it is no url."""
    try:
        return urljoin(base, url)
    except ValueError:  # a port or an address that is none
        return url
