"""The checks, in the order a browser would fail at them.

They stop where nothing further can be known: without a tag there is no script to fetch, without a script no
endpoint. Nothing is stored by them but with ``send``; the endpoint is asked with an empty body, which it refuses
by name (``empty``), and that refusal is the proof that it is ours.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from trackflowd.verify import answers, csp, page
from trackflowd.verify.fetch import Fetcher, Got, Unreachable, is_local, origin, split

OK, NOTE, FAIL, SKIPPED = "ok", "note", "fail", "skipped"

MAX_PAGE = 4 * 2**20
MAX_SCRIPT = 512 * 2**10
MAX_ANSWER = 64 * 2**10
#: Scripts of a page that are looked into for ours, where no tag looks like it.
MAX_SCRIPTS = 20
EVENT_NAME = "trackflow-verify"
_HEADER = re.compile(r"([0-9a-f]{12})(?:; event=([^;\s]+))?(?:; pixel=([^;\s]+))?")


class Check(NamedTuple):
    """One check.

    Args:
        name: page, tag, script, csp, endpoint, origin or counted.
        state: ok, note (works, but look), fail or skipped.
        text: what was found.
        mend: what to do about it, or "".
    """

    name: str
    state: str
    text: str
    mend: str = ""


class Found(NamedTuple):
    """What is known of the script.

    Args:
        url: its address.
        version: the daemon's twelve digits, or "" where its answer names none.
        event, pixel: paths it sends to, relative to its address.
    """

    url: str
    version: str = ""
    event: str = "v1/events"
    pixel: str = "v1/pixel.gif"


class Asked(NamedTuple):
    """What to verify.

    Args:
        url: the page.
        script: the script's address, where it is not to be seen in the page; or "".
        site: site of the event that ``send`` sends; "": the tag's, else the page's host.
        send: send one real event.
        version: of the script this program's own daemon would serve; "": unknown.
    """

    url: str
    script: str = ""
    site: str = ""
    send: bool = False
    version: str = ""


class Report(NamedTuple):
    """The outcome; ``ok``: no check failed."""

    url: str
    ok: bool
    checks: list[Check]
    facts: dict[str, Any]


class _Stop(Exception):
    """Nothing further can be checked."""


def verify(asked: Asked, fetcher: Fetcher) -> Report:
    """Check a page's tracker."""
    visit = _Visit(asked, fetcher)
    try:
        visit.look_at_page()
        visit.find_tag()
        visit.load_script()
        visit.look_at_policies()
        visit.knock()
        visit.send()
    except _Stop:
        pass
    return Report(asked.url, all(check.state != FAIL for check in visit.checks), visit.checks, visit.facts)


class _Visit:
    def __init__(self, asked: Asked, fetcher: Fetcher) -> None:
        self.checks: list[Check] = []
        self.facts: dict[str, Any] = {}
        self._asked = asked
        self._fetcher = fetcher
        self._url = asked.url
        self._page = page.Page([], [], [], False)
        self._answer: Got
        self._policies: list[csp.Policy] = []
        self._tag = page.Tag(asked.script, {})
        self._found = Found("")

    def _say(self, name: str, state: str, text: str, mend: str = "") -> None:
        self.checks.append(Check(name, state, text, mend))

    def _stop(self, name: str, text: str, mend: str) -> _Stop:
        self._say(name, FAIL, text, mend)
        return _Stop()

    # ------------------------------------------------------------------ page

    def look_at_page(self) -> None:
        """Fetch and read the page."""
        try:
            got = self._fetcher.get(self._asked.url, MAX_PAGE, {"Accept": "text/html,*/*;q=0.5"})
        except Unreachable as error:
            raise self._stop("page", str(error), "check the address, and that the site is up") from None
        if got.status != 200:
            mend = "a firewall may treat this program unlike a browser: try from another network, or another page"
            raise self._stop("page", f"{got.url} answers {got.status}", mend)
        if got.kind not in ("text/html", "application/xhtml+xml", ""):
            raise self._stop("page", f"{got.url} is {got.kind}, no page", "name the address of a page")
        self._answer, self._url = got, got.url
        self._page = page.read(got.body.decode("utf-8", "replace"), got.url)
        headers = [value for name, value in got.headers if name == "content-security-policy"]
        self._policies = csp.parse([*headers, *self._page.policies])
        hops = f", after {len(got.hops)} redirect{'s' * (len(got.hops) > 1)}" if got.hops else ""
        self._say("page", OK, f"{got.url}{hops}")

    # ------------------------------------------------------------------- tag

    def find_tag(self) -> None:
        """Find the script's tag: the one that looks like ours, else the one whose script is ours."""
        if self._asked.script:
            self._tag = page.Tag(page.join(self._url, self._asked.script), {})
            self._say("tag", NOTE, f"not looked for: {self._tag.src} was named")
            return
        likely = [tag for tag in self._page.scripts if tag.likely]
        tag = likely[0] if likely else self._look_into_scripts()
        if tag is None:
            raise self._no_tag()
        self._tag = tag
        options = tag.options()
        self.facts["tag"] = {"src": tag.src, **options}
        self._say("tag", OK, " ".join([tag.src, *(f"data-{name}={value!r}" for name, value in options.items())]))
        if len(likely) > 1:
            self._say("tag", NOTE, f"it stands in the page {len(likely)} times", "one is enough: the first counts")
        if not tag.runs:
            kind = tag.attributes["type"]
            mend = (
                "if that is a consent manager's doing, only visitors who agree are counted; else remove the attribute"
            )
            self._say("tag", NOTE, f'type="{kind}" holds the script back', mend)
        elif tag.attributes.get("type", "").lower() == "module":
            self._say("tag", NOTE, "a module cannot see its own tag: its options do not count", 'remove type="module"')

    def _look_into_scripts(self) -> page.Tag | None:
        for tag in self._page.scripts[:MAX_SCRIPTS]:
            try:
                if tag.runs and not self._mixed(tag.src) and answers.is_ours(self._fetcher.get(tag.src, MAX_SCRIPT)):
                    return tag
            except Unreachable:
                continue
        return None

    def _no_tag(self) -> _Stop:
        text = f"none of the page's {len(self._page.scripts)} scripts is TrackFlow's"
        if any("pixel.gif" in picture for picture in self._page.pictures):
            text += "; the no-script pixel is there"
        mend = 'put <script defer src="https://YOUR-DAEMON/t.js" data-site="YOUR-SITE"></script> into its <head>'
        if self._page.managed:
            mend = "if the tag manager on this page puts it in, name the script's address with --script; else " + mend
        else:
            mend += ", or name the script's address with --script if another script puts it in"
        return self._stop("tag", text, mend)

    def _mixed(self, url: str) -> bool:
        """A browser will not fetch it: the page is secure and it is not."""
        try:
            return urlsplit(self._url).scheme == "https" and urlsplit(url).scheme == "http" and not is_local(url)
        except Unreachable:
            return False

    # ---------------------------------------------------------------- script

    def load_script(self) -> None:
        """Fetch the script as the page would."""
        src = self._tag.src
        if self._mixed(src):
            raise self._stop("script", f"{src} is not fetched from a page on https", "write https:// in its src")
        try:
            got = self._fetcher.get(src, MAX_SCRIPT, {"Origin": origin(self._url)})
        except Unreachable as error:
            raise self._stop("script", f"{src}: {error}", "start the daemon, or mend the address in src") from None
        if got.status != 200:
            mend = "mend src; the daemon serves the names of http.script_path, and a proxy in front must pass them on"
            raise self._stop("script", f"{src} answers {got.status}", mend)
        kept_out = answers.why_not_run(got, self._answer, self._tag)
        if kept_out is not None:
            raise self._stop("script", *kept_out)
        if not answers.is_ours(got):
            raise self._stop("script", f"{src} is not TrackFlow's script", "let src name the daemon's script")
        found = _HEADER.fullmatch(got.header("x-trackflow-script") or "")
        self._found = Found(got.url, *(value for value in found.groups() if value)) if found else Found(got.url)
        try:
            split(self._events_url())
        except Unreachable as error:
            raise self._stop("tag", f"data-api: {error}", "let it name a path, or an address of https") from None
        self.facts["script"] = self._found._asdict()
        self._say("script", OK, self._describe(got))
        if b"localhost" in got.body and is_local(self._url) and "localhost" not in self._tag.options().get("allow", ""):
            self._say(
                "script", NOTE, "it does not count pages of this machine", 'to try it, add data-allow="localhost"'
            )

    def _describe(self, got: Got) -> str:
        version = self._found.version
        if not version:
            return f"{got.url}, {len(got.body)} bytes, of a version it does not name (not served by the daemon itself?)"
        same = {"": "", version: ", the same as this program's"}.get(
            self._asked.version, ", another than this program's"
        )
        return f"{got.url}, {len(got.body)} bytes, version {version}{same}"

    # ------------------------------------------------------------------- csp

    def look_at_policies(self) -> None:
        """What the page's Content-Security-Policy lets through."""
        tag, events = self._tag.attributes, self._events_url()
        nonce, integrity = tag.get("nonce", ""), tag.get("integrity", "")
        blocked = [
            self._keeps_out("script", "the script", self._tag.src, nonce, integrity),
            self._keeps_out("connect", "sending events", events),
        ]
        picture = self._pixel_url()
        directive = csp.blocked_by(self._policies, "img", picture, self._url)
        if directive is not None:
            mend = f"add {answers.source(picture)} to img-src"
            self._say("csp", NOTE, f"the picture that is the last resort is kept out by: {directive}", mend)
        if not any(blocked):
            self._say("csp", OK, "allows script and events" if self._policies else "the page has none")

    def _keeps_out(self, kind: str, what: str, url: str, nonce: str = "", integrity: str = "") -> bool:
        directive = csp.blocked_by(self._policies, kind, url, self._url, nonce, integrity)
        if directive is None:
            return False
        mend = f"add {answers.source(url)} to {kind}-src in the page's Content-Security-Policy"
        if directive.startswith("sandbox"):
            mend = "add allow-scripts to sandbox in the page's Content-Security-Policy"
        elif "'strict-dynamic'" in directive:
            mend = "give the tag the nonce of the page's Content-Security-Policy"
        self._say("csp", FAIL, f"{what} ({url}) is kept out by: {directive}", mend)
        return True

    def _events_url(self) -> str:
        return page.join(self._found.url, self._tag.options().get("api") or self._found.event)

    def _pixel_url(self) -> str:
        return page.join(self._found.url, self._tag.options().get("pixel") or self._found.pixel)

    # -------------------------------------------------------------- endpoint

    def knock(self) -> None:
        """Ask the endpoint as the page's browser would, without an event."""
        url = self._events_url()
        self.facts["events"] = url
        if self._mixed(url):
            raise self._stop("endpoint", f"{url} is not reached from a page on https", "write https:// in data-api")
        try:
            preflight = self._preflight(url)
            got = self._fetcher.ask("POST", url, MAX_ANSWER, self._headers())
        except Unreachable as error:
            raise self._stop("endpoint", f"{url}: {error}", "start the daemon, or mend data-api") from None
        code = answers.json_object(got).get("error")
        if got.status in (404, 405):
            mend = "let data-api name a path of http.event_path, and a proxy in front pass it on, POST included"
            raise self._stop("endpoint", f"{url} answers {got.status} to POST", mend)
        if 300 <= got.status < 400:
            mend = f"name the last address in data-api: a redirect ({got.header('location')}) turns POST into GET"
            raise self._stop("endpoint", f"{url} redirects", mend)
        if got.status == 503:
            self._say(
                "endpoint", FAIL, f"{url} takes no events at the moment: {answers.reason(got)}", "see trackflow status"
            )
        elif code != "empty":
            mend = (
                "something else answers there (a firewall, a login page, another program): let it pass POST on as it is"
            )
            raise self._stop("endpoint", f"{url} answers {got.status}: {answers.reason(got)}", mend)
        else:
            self._say("endpoint", OK, f"{url} takes events")
        self._check_origin(url, preflight, got)

    def _headers(self) -> dict[str, str]:
        return {"Origin": origin(self._url), "Content-Type": "text/plain;charset=UTF-8", "Referer": self._url}

    def _preflight(self, url: str) -> Got:
        asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        return self._fetcher.ask("OPTIONS", url, MAX_ANSWER, {"Origin": origin(self._url), **asks})

    def _check_origin(self, url: str, preflight: Got, got: Got) -> None:
        own = origin(self._url)
        if origin(url) == own:
            self._say("origin", OK, f"the same as the page's ({own})")
            return
        for answer, what in ((got, "POST"), (preflight, "OPTIONS")):
            if answer is preflight and not 200 <= answer.status < 300:
                text = f"{url} answers {answer.status} to OPTIONS"
                raise self._stop("origin", text, "let the proxy in front pass OPTIONS on to the daemon")
            if not answers.lets_in(answer, own, credentials=True):
                allowed = answer.header("access-control-allow-origin")
                mend = "let the proxy in front pass on the daemon's Access-Control headers, and add none of its own"
                text = (
                    f"pages of {own} may not read the answer to {what} ({allowed or 'no Access-Control-Allow-Origin'})"
                )
                raise self._stop("origin", text, mend)
        self._say("origin", OK, f"pages of {own} may send")

    # --------------------------------------------------------------- counted

    def send(self) -> None:
        """Send one event, if asked to."""
        if not self._asked.send:
            self._say("counted", SKIPPED, "no event was sent", "--send sends one, which is stored")
            return
        site = self._asked.site or self._tag.options().get("site") or urlsplit(self._url).hostname or ""
        event = {"site": site, "name": EVENT_NAME, "url": self._url, "id": str(uuid.uuid4())}
        try:
            got = self._fetcher.ask("POST", self._events_url(), MAX_ANSWER, self._headers(), json.dumps(event).encode())
        except Unreachable as error:
            raise self._stop("counted", str(error), "try again") from None
        policy = got.header("x-trackflow-refused")
        if got.status != 200 or answers.json_object(got).get("accepted") != 1 or policy is not None:
            text = f"the event was not counted: {policy or answers.reason(got)} ({got.status})"
            raise self._stop("counted", text, "docs/protocol.md lists the reasons")
        self.facts["event"] = event
        self._say("counted", OK, f"event {event['id']} ({EVENT_NAME}) of site {site} was taken")
