"""Who visits: agents, countries, sources, campaigns, bots. Data, and no code.

Shares are round figures in the order of what public counters show for Europe and the world in 2025
(StatCounter, Cloudflare Radar); they make traffic plausible and prove nothing about anybody's site.
Agents are what the browsers of 2025 send, with their frozen parts (Chrome's "10; K", macOS 10_15_7).
Blocks are large networks of one access provider each, so that a country database finds the country;
addresses of them are only ever written into a header.
"""

from __future__ import annotations

from typing import NamedTuple

from bench.traffic.draw import Shares


class Family(NamedTuple):
    """Agents of one browser on one system.

    Args:
        device: desktop, mobile, tablet or tv.
        agent: the header; {v} is a version, {d} the same with dots, {m} a model.
        versions, models: what stands for them, by share.
        brand: as in ``sec-ch-ua``, "" for browsers that do not send it.
        platform: as in ``sec-ch-ua-platform``.
    """

    name: str
    device: str
    agent: str
    versions: Shares[str]
    models: Shares[str] = Shares([("", 1)])
    brand: str = ""
    platform: str = ""


class Country(NamedTuple):
    """Where visitors are.

    Args:
        blocks: IPv4 networks of its access providers.
        six: an IPv6 network, "" where none is used here.
        zones, languages: by share.
    """

    code: str
    blocks: tuple[str, ...]
    six: str
    zones: Shares[str]
    languages: Shares[str]
    currency: str


def _of(**weights: float) -> Shares[str]:
    return Shares((name, weight) for name, weight in weights.items())


def _one(name: str) -> Shares[str]:
    return Shares([(name, 1)])


_CHROME = Shares([("140", 60), ("139", 14), ("138", 8), ("141", 6), ("136", 3), ("131", 3), ("126", 2), ("109", 2)])
_FIREFOX = Shares([("143.0", 60), ("142.0", 15), ("140.0", 15), ("128.0", 7), ("115.0", 3)])
_SAFARI = Shares([("18.6", 50), ("18.5", 15), ("26.0", 15), ("17.6", 12), ("16.6", 8)])
_IOS = Shares(
    [("18_6", 40), ("18_5", 16), ("26_0", 14), ("17_7", 8), ("18_3_2", 6), ("16_7", 6), ("18_1_1", 5), ("15_8", 2)]
)
_IPADS = Shares([("15_8", 50), ("12_5_7", 30), ("16_6", 20)])
_ANDROIDS = Shares(
    [
        ("SM-S928B", 9), ("SM-A546B", 9), ("SM-S911B", 8), ("SM-A155F", 8), ("SM-G991B", 6), ("Pixel 8", 6),
        ("Pixel 7a", 4), ("2201117TY", 4), ("23021RAAEG", 4), ("M2101K6G", 3), ("CPH2581", 3), ("V2318", 3),
        ("moto g84 5G", 2), ("LE2113", 2), ("SM-A127F", 2), ("Redmi Note 12", 2), ("ONEPLUS A6003", 1),
    ]
)  # fmt: skip
_PHONES = Shares([("15,4", 22), ("14,5", 20), ("16,1", 16), ("17,3", 14), ("13,2", 10), ("12,8", 8), ("11,8", 5)])

_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
_WIN = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"

FAMILIES: tuple[tuple[Family, float], ...] = (
    (Family("Chrome Windows", "desktop", f"{_WIN} {_WEBKIT} Chrome/{{v}}.0.0.0 Safari/537.36", _CHROME,
            brand="Google Chrome", platform="Windows"), 20.0),
    (Family("Chrome macOS", "desktop", f"{_MAC} {_WEBKIT} Chrome/{{v}}.0.0.0 Safari/537.36", _CHROME,
            brand="Google Chrome", platform="macOS"), 5.0),
    (Family("Chrome Linux", "desktop", f"Mozilla/5.0 (X11; Linux x86_64) {_WEBKIT} Chrome/{{v}}.0.0.0 Safari/537.36",
            _CHROME, brand="Google Chrome", platform="Linux"), 1.5),
    (Family("Edge Windows", "desktop", f"{_WIN} {_WEBKIT} Chrome/{{v}}.0.0.0 Safari/537.36 Edg/{{v}}.0.0.0", _CHROME,
            brand="Microsoft Edge", platform="Windows"), 6.0),
    (Family("Firefox Windows", "desktop", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{v}) Gecko/20100101 "
            "Firefox/{v}", _FIREFOX), 3.5),
    (Family("Firefox Linux", "desktop", "Mozilla/5.0 (X11; Linux x86_64; rv:{v}) Gecko/20100101 Firefox/{v}",
            _FIREFOX), 1.0),
    (Family("Safari macOS", "desktop", f"{_MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{{v}} Safari/605.1.15",
            _SAFARI), 6.0),
    (Family("Opera Windows", "desktop", f"{_WIN} {_WEBKIT} Chrome/{{v}}.0.0.0 Safari/537.36 OPR/122.0.0.0", _CHROME,
            brand="Opera", platform="Windows"), 1.0),
    (Family("Chrome Android", "mobile", f"Mozilla/5.0 (Linux; Android 10; K) {_WEBKIT} Chrome/{{v}}.0.0.0 Mobile "
            "Safari/537.36", _CHROME, brand="Google Chrome", platform="Android"), 22.0),
    (Family("Safari iOS", "mobile", "Mozilla/5.0 (iPhone; CPU iPhone OS {v} like Mac OS X) AppleWebKit/605.1.15 (KHTML,"
            " like Gecko) Version/{d} Mobile/15E148 Safari/604.1", _IOS), 18.0),
    (Family("Samsung Internet", "mobile", f"Mozilla/5.0 (Linux; Android 10; K) {_WEBKIT} SamsungBrowser/{{v}}.0 "
            "Chrome/136.0.0.0 Mobile Safari/537.36", Shares([("28", 60), ("27", 25), ("26", 15)]),
            brand="Samsung Internet", platform="Android"), 4.0),
    (Family("Facebook Android", "mobile", f"Mozilla/5.0 (Linux; Android 14; {{m}} Build/UP1A.231005.007; wv) {_WEBKIT} "
            "Version/4.0 Chrome/{v}.0.7339.51 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/527.0.0.41.89;]", _CHROME,
            _ANDROIDS, brand="Android WebView", platform="Android"), 3.0),
    (Family("Instagram iOS", "mobile", "Mozilla/5.0 (iPhone; CPU iPhone OS {v} like Mac OS X) AppleWebKit/605.1.15 "
            "(KHTML, like Gecko) Mobile/15E148 Instagram 395.0.0.28.82 (iPhone{m}; iOS {v}; scale=3.00; 1170x2532)",
            _IOS, _PHONES), 3.0),
    (Family("Google app iOS", "mobile", "Mozilla/5.0 (iPhone; CPU iPhone OS {v} like Mac OS X) AppleWebKit/605.1.15 "
            "(KHTML, like Gecko) GSA/384.0.807061234 Mobile/15E148 Safari/604.1", _IOS), 2.0),
    (Family("Safari iPad", "tablet", "Mozilla/5.0 (iPad; CPU OS {v} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
            "Gecko) Version/{d} Mobile/15E148 Safari/604.1", _IPADS), 2.0),
    (Family("Chrome tablet", "tablet", f"Mozilla/5.0 (Linux; Android 10; K) {_WEBKIT} Chrome/{{v}}.0.0.0 Safari/537.36",
            _CHROME, brand="Google Chrome", platform="Android"), 1.5),
    (Family("Tizen TV", "tv", f"Mozilla/5.0 (SMART-TV; Linux; Tizen {{v}}) {_WEBKIT} Version/{{v}} TV Safari/537.36",
            Shares([("7.0", 50), ("6.5", 30), ("8.0", 20)])), 0.5),
)  # fmt: skip

COUNTRIES: tuple[tuple[Country, float], ...] = (
    (Country("DE", ("79.192.0.0/10", "84.128.0.0/10", "91.0.0.0/10"), "2003::/19", _one("Europe/Berlin"),
             Shares([("de-DE", 85), ("en-US", 8), ("tr-TR", 4), ("pl-PL", 3)]), "EUR"), 22),
    (Country("US", ("73.0.0.0/8", "98.192.0.0/10"), "2601::/20",
             Shares([("America/New_York", 48), ("America/Chicago", 28), ("America/Denver", 7),
                     ("America/Los_Angeles", 17)]), Shares([("en-US", 88), ("es-US", 12)]), "USD"), 20),
    (Country("GB", ("81.128.0.0/12", "86.128.0.0/11"), "2a02:c7f::/32", _one("Europe/London"),
             Shares([("en-GB", 95), ("pl-PL", 5)]), "GBP"), 8),
    (Country("FR", ("90.0.0.0/10", "82.224.0.0/11"), "2a01:e00::/26", _one("Europe/Paris"),
             Shares([("fr-FR", 93), ("en-US", 7)]), "EUR"), 7),
    (Country("IN", ("49.36.0.0/14", "117.192.0.0/10"), "2409:4000::/22", _one("Asia/Kolkata"),
             Shares([("en-IN", 70), ("hi-IN", 30)]), "INR"), 7),
    (Country("BR", ("189.32.0.0/11", "177.32.0.0/11"), "2804:14c::/31",
             Shares([("America/Sao_Paulo", 85), ("America/Fortaleza", 15)]), _one("pt-BR"), "BRL"), 5),
    (Country("NL", ("84.80.0.0/13", "86.80.0.0/12"), "2a02:a440::/26", _one("Europe/Amsterdam"),
             Shares([("nl-NL", 80), ("en-US", 20)]), "EUR"), 4),
    (Country("IT", ("79.0.0.0/10", "87.0.0.0/11"), "", _one("Europe/Rome"), _one("it-IT"), "EUR"), 4),
    (Country("ES", ("80.24.0.0/13", "83.32.0.0/11"), "",
             Shares([("Europe/Madrid", 93), ("Atlantic/Canary", 7)]), Shares([("es-ES", 80), ("ca-ES", 20)]),
             "EUR"), 4),
    (Country("PL", ("83.0.0.0/11", "79.184.0.0/13"), "", _one("Europe/Warsaw"), _one("pl-PL"), "PLN"), 3),
    (Country("AT", ("91.112.0.0/14", "188.20.0.0/14"), "", _one("Europe/Vienna"), _one("de-AT"), "EUR"), 3),
    (Country("CH", ("85.0.0.0/13", "178.192.0.0/13"), "2a02:1200::/27", _one("Europe/Zurich"),
             Shares([("de-CH", 62), ("fr-CH", 23), ("it-CH", 8), ("en-US", 7)]), "CHF"), 3),
    (Country("JP", ("126.0.0.0/8",), "", _one("Asia/Tokyo"), _one("ja-JP"), "JPY"), 3),
    (Country("CA", ("24.64.0.0/13", "70.24.0.0/13"), "",
             Shares([("America/Toronto", 70), ("America/Vancouver", 30)]), Shares([("en-CA", 78), ("fr-CA", 22)]),
             "CAD"), 2),
    (Country("AU", ("1.128.0.0/11", "101.160.0.0/11"), "2001:8000::/20",
             Shares([("Australia/Sydney", 60), ("Australia/Melbourne", 40)]), _one("en-AU"), "AUD"), 1.5),
    (Country("SE", ("78.64.0.0/12", "81.224.0.0/12"), "", _one("Europe/Stockholm"), _one("sv-SE"), "SEK"), 1),
    (Country("TR", ("78.160.0.0/11", "88.224.0.0/11"), "", _one("Europe/Istanbul"), _one("tr-TR"), "TRY"), 1),
    (Country("KR", ("175.192.0.0/10",), "", _one("Asia/Seoul"), _one("ko-KR"), "KRW"), 1),
    (Country("ID", ("36.64.0.0/11",), "", _one("Asia/Jakarta"), _one("id-ID"), "IDR"), 0.5),
    (Country("NG", ("105.112.0.0/12",), "", _one("Africa/Lagos"), _one("en-NG"), "NGN"), 0.5),
)  # fmt: skip

SCREENS: dict[str, Shares[str]] = {
    "desktop": Shares([("1920x1080", 42), ("2560x1440", 14), ("1536x864", 13), ("1366x768", 11), ("1440x900", 7),
                       ("1728x1117", 5), ("3840x2160", 4), ("1280x720", 4)]),
    "mobile": Shares([("390x844", 20), ("393x852", 15), ("360x800", 22), ("412x915", 14), ("384x832", 9),
                      ("430x932", 8), ("414x896", 6), ("375x667", 6)]),
    "tablet": Shares([("768x1024", 40), ("820x1180", 30), ("800x1280", 30)]),
    "tv": Shares([("1920x1080", 80), ("1280x720", 20)]),
}  # fmt: skip

#: Where a visit comes from. "campaign" carries utm parameters, "paid" a click id.
ARRIVALS: Shares[str] = _of(direct=34, search=33, social=11, referral=8, campaign=8, paid=4, ai=2)
SEARCH = Shares(
    [
        ("https://www.google.com/", 84), ("https://www.bing.com/", 7), ("https://duckduckgo.com/", 4),
        ("https://www.ecosia.org/", 3), ("https://search.yahoo.com/", 2),
    ]
)  # fmt: skip
SOCIAL = Shares(
    [
        ("https://l.facebook.com/", 30), ("https://l.instagram.com/", 25), ("https://t.co/", 12),
        ("https://www.reddit.com/", 12), ("https://www.linkedin.com/", 11), ("https://www.youtube.com/", 10),
    ]
)  # fmt: skip
AI = Shares([("https://chatgpt.com/", 75), ("https://www.perplexity.ai/", 17), ("https://gemini.google.com/", 8)])
#: Source, medium and name of a campaign.
CAMPAIGNS = Shares(
    [
        (("newsletter", "email", "weekly-{n}"), 45), (("facebook", "paid-social", "autumn-sale"), 20),
        (("instagram", "social", "story-{n}"), 15), (("partner-{n}", "affiliate", "cashback"), 12),
        (("linkedin", "cpc", "b2b-leads"), 8),
    ]
)  # fmt: skip
#: Key of the click id, and where it comes from.
CLICKS = Shares(
    [
        (("gclid", "https://www.google.com/"), 75), (("fbclid", "https://l.facebook.com/"), 15),
        (("msclkid", "https://www.bing.com/"), 10),
    ]
)  # fmt: skip

#: Agent of a bot and a network it comes from.
BOTS: Shares[tuple[str, str]] = Shares(
    [
        (("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "66.249.64.0/19"), 22),
        (("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "157.55.39.0/24"), 12),
        ((f"Mozilla/5.0 {_WEBKIT[:-1]}; compatible; GPTBot/1.2; +https://openai.com/gptbot)", "20.171.206.0/24"), 12),
        ((f"Mozilla/5.0 {_WEBKIT[:-1]}; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)", "3.208.0.0/12"), 8),
        (("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", "54.36.148.0/23"), 12),
        (("Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)", "85.208.96.0/24"), 8),
        ((f"Mozilla/5.0 (X11; Linux x86_64) {_WEBKIT} HeadlessChrome/138.0.0.0 Safari/537.36", "3.208.0.0/12"), 10),
        (("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "69.171.224.0/19"), 6),
        (("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", "216.144.250.0/24"), 4),
        (("python-requests/2.32.5", "88.198.0.0/16"), 4),
        (("curl/8.5.0", "88.198.0.0/16"), 2),
    ]
)  # fmt: skip
