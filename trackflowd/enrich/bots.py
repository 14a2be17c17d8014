"""Which senders are not people, by their User-Agent.

A bot is flagged and stored, never refused: the rows answer "who reads my site besides people",
and a wrong flag can be undone by a query. Statistics leave flagged rows out.

Rules are substrings of the lower-case agent; the first of ``RULES`` that holds gives its name. Not
flagged, though no browsers: okhttp, CFNetwork, Dalvik and Dart, which native apps in people's
hands send.
"""

from __future__ import annotations

from trackflowd.enrich.marks import Marks

#: Rule → substrings, lower case. Names go to the column ``bot``; their bound is 32 bytes.
RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "ai",
        (
            "gptbot", "chatgpt-user", "oai-searchbot", "claudebot", "claude-user", "claude-searchbot",
            "claude-web", "anthropic-ai", "perplexitybot", "perplexity-user", "ccbot", "bytespider",
            "google-extended", "googleother", "meta-externalagent", "meta-externalfetcher", "amazonbot",
            "applebot-extended", "cohere-ai", "diffbot", "mistralai-user", "duckassistbot", "ai2bot",
            "omgili", "timpibot", "youbot",
        ),
    ),
    (
        "preview",
        (
            "facebookexternalhit", "facebookcatalog", "facebot", "twitterbot", "linkedinbot", "slackbot",
            "slack-imgproxy", "telegrambot", "whatsapp/", "discordbot", "skypeuripreview", "bingpreview",
            "vkshare", "pinterestbot", "embedly", "iframely", "redditbot", "viber/", "snap url preview",
            "bluesky cardyb", "google-pagerenderer", "mastodon/", "pleroma", "misskey/", "synapse (bot;",
        ),
    ),
    (
        "monitor",
        (
            "uptimerobot", "pingdom", "statuscake", "site24x7", "newrelicpinger", "datadogsynthetics",
            "datadog/", "betteruptime", "better uptime", "updown.io", "freshping", "hetrixtools", "uptime-kuma",
            "checkly", "nagios", "check_http", "zabbix", "blackbox-exporter", "kube-probe", "googlehc",
            "elb-healthchecker", "amazon-route53-health-check", "catchpoint", "gtmetrix", "ptst/", "speedcurve",
            "pagespeed", "lighthouse", "monitoring", "healthcheck",
        ),
    ),
    (
        "headless",
        (
            "headlesschrome", "headlessshell", "headless", "phantomjs", "slimerjs", "htmlunit", "puppeteer",
            "playwright", "selenium", "webdriver", "cypress/", "jsdom", "nightmare/", "splash",
        ),
    ),
    (
        "scanner",
        (
            "nmap", "masscan", "zgrab", "nuclei", "sqlmap", "nikto", "wpscan", "dirbuster", "gobuster", "acunetix",
            "nessus", "qualys", "openvas", "censys", "shodan", "expanse", "netcraft", "l9explore", "leakix",
            "internet-measurement", "internetmeasurement", "securitytrails",
        ),
    ),
    (
        "feed",
        (
            "feedly", "feedfetcher", "inoreader", "newsblur", "freshrss", "feedbin", "netnewswire", "miniflux",
            "tiny tiny rss", "theoldreader", "rssreader", "rssowl", "feedparser", "feedburner", "podcast",
        ),
    ),
    (
        "crawler",
        (
            "bot", "crawl", "spider", "slurp", "mediapartners-google", "google-inspectiontool", "adsbot",
            "apis-google", "google-read-aloud", "google-site-verification", "storebot", "yandex.com/bots",
            "baiduspider", "sogou web", "ia_archiver", "archive.org", "heritrix", "httrack", "semrush", "ahrefs",
            "dataprovider", "screaming frog", "nutch", "scrapy", "colly", "trafilatura", "wappalyzer", "builtwith",
            "validator", "linkchecker", "link checker", "w3c_", "scraper", "indexer", "buck/", "panscient",
        ),
    ),
    (
        "tool",
        (
            "curl/", "libcurl", "wget", "python", "aiohttp", "httpx", "urllib", "go-http-client", "java/1", "java/2",
            "apache-httpclient", "jakarta commons", "libwww-perl", "lwp::", "ruby", "php/", "guzzle",
            "node-fetch", "node.js", "undici", "axios", "got (", "superagent", "deno/", "bun/", "postman", "insomnia",
            "httpie", "paw/", "restsharp", "powershell", "winhttp", "reqwest", "hyper/", "ureq",
            "apachebench", "wrk", "k6/", "vegeta", "siege", "jmeter", "gatling", "locust", "hey/", "h2load",
            "lua-resty", "aria2", "winget",
        ),
    ),
)  # fmt: skip

#: Cubot makes telephones; their model names would otherwise read as "bot".
_NOT_BOTS = ("cubot",)

_MARKS = Marks(RULES)


def rule(agent: str, spider: bool = False) -> str:
    """Name of the rule that flags an agent, or "" for a person's.

    Args:
        agent: the User-Agent header, any case.
        spider: whether the agent parser knows it as a spider.
    """
    low = agent.lower().strip()
    if not low or low == "-":
        return "empty"
    for name in _NOT_BOTS:
        low = low.replace(name, "")
    return _MARKS.find(low) or ("spider" if spider else "")
