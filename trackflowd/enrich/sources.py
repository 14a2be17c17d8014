"""Where visits come from: the table of known sources, written for TrackFlow.

One row per source: its name as it is shown, its kind, its domains, and what people write as
``utm_source`` for it. A domain covers its subdomains, and the longest one decides
(``mail.google.com`` is mail, ``google.com`` is search). ``google.*`` covers every country's
ending. An Android app is known by its package name, which its referrer carries as a host.

The table is short on purpose: it holds what a site's first hundred sources tend to be. A source
that is not in it is named by its host, so nothing is lost by its absence.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["search", "social", "email", "video", "ai", "news", "shopping", "ads", ""]


class Source(NamedTuple):
    """A source's name, and kind "" where it is not in the table."""

    name: str
    kind: Kind


_TABLE: tuple[tuple[str, Kind, str, str], ...] = (
    # name, kind, domains, utm_source names
    ("Google", "search", "google.* com.google.android.googlequicksearchbox googleadservices.com", "google adwords"),
    ("Bing", "search", "bing.com", "bing"),
    ("DuckDuckGo", "search", "duckduckgo.com com.duckduckgo.mobile.android", "duckduckgo ddg"),
    ("Yahoo!", "search", "search.yahoo.com yahoo.com yahoo.co.jp", "yahoo"),
    ("Yandex", "search", "yandex.* ya.ru", "yandex"),
    ("Baidu", "search", "baidu.com", "baidu"),
    ("Ecosia", "search", "ecosia.org", "ecosia"),
    ("Brave Search", "search", "search.brave.com", "brave"),
    ("Qwant", "search", "qwant.com", "qwant"),
    ("Startpage", "search", "startpage.com", "startpage"),
    ("Kagi", "search", "kagi.com", "kagi"),
    ("Mojeek", "search", "mojeek.com", "mojeek"),
    ("Naver", "search", "search.naver.com naver.com", "naver"),
    ("Daum", "search", "search.daum.net", "daum"),
    ("Seznam", "search", "search.seznam.cz seznam.cz", "seznam"),
    ("Sogou", "search", "sogou.com", "sogou"),
    ("360 Search", "search", "so.com", ""),
    ("Shenma", "search", "sm.cn", ""),
    ("Coc Coc", "search", "coccoc.com", "coccoc"),
    ("Petal Search", "search", "petalsearch.com", ""),
    ("AOL", "search", "search.aol.com aol.com", "aol"),
    ("Ask", "search", "ask.com", "ask"),
    ("Swisscows", "search", "swisscows.com", ""),
    ("MetaGer", "search", "metager.de metager.org", ""),
    ("Mail.ru Search", "search", "go.mail.ru", ""),
    ("Facebook", "social", "facebook.com fb.com fb.me messenger.com com.facebook.katana", "facebook fb meta"),
    ("Instagram", "social", "instagram.com com.instagram.android", "instagram ig"),
    ("Threads", "social", "threads.net threads.com", "threads"),
    ("X", "social", "x.com twitter.com t.co com.twitter.android", "x twitter"),
    ("LinkedIn", "social", "linkedin.com lnkd.in com.linkedin.android", "linkedin li"),
    ("Reddit", "social", "reddit.com redd.it com.reddit.frontpage", "reddit"),
    ("Pinterest", "social", "pinterest.* pin.it com.pinterest", "pinterest"),
    ("TikTok", "social", "tiktok.com com.zhiliaoapp.musically", "tiktok"),
    ("Snapchat", "social", "snapchat.com", "snapchat"),
    ("Tumblr", "social", "tumblr.com", "tumblr"),
    ("Mastodon", "social", "mastodon.social mastodon.online fosstodon.org mstdn.social hachyderm.io", "mastodon"),
    ("Bluesky", "social", "bsky.app go.bsky.app", "bluesky bsky"),
    ("VK", "social", "vk.com vk.ru away.vk.com", "vk vkontakte"),
    ("OK", "social", "ok.ru", ""),
    ("Weibo", "social", "weibo.com weibo.cn t.cn", "weibo"),
    ("WeChat", "social", "wechat.com weixin.qq.com mp.weixin.qq.com", "wechat weixin"),
    ("Xing", "social", "xing.com", "xing"),
    ("Quora", "social", "quora.com", "quora"),
    ("Stack Overflow", "social", "stackoverflow.com stackexchange.com", "stackoverflow"),
    ("Nextdoor", "social", "nextdoor.com", "nextdoor"),
    ("Discord", "social", "discord.com discordapp.com", "discord"),
    ("WhatsApp", "social", "whatsapp.com wa.me com.whatsapp", "whatsapp"),
    ("Telegram", "social", "telegram.org telegram.me t.me web.telegram.org org.telegram.messenger", "telegram"),
    ("Signal", "social", "signal.org", "signal"),
    ("Slack", "social", "slack.com com.slack", "slack"),
    ("Microsoft Teams", "social", "teams.microsoft.com teams.live.com statics.teams.cdn.office.net", "teams"),
    ("LINE", "social", "line.me", "line"),
    ("Viber", "social", "viber.com", "viber"),
    ("KakaoTalk", "social", "kakao.com", "kakao kakaotalk"),
    ("Gmail", "email", "mail.google.com com.google.android.gm", "gmail"),
    ("Outlook", "email", "outlook.live.com outlook.office.com outlook.office365.com", "outlook"),
    ("Yahoo! Mail", "email", "mail.yahoo.com mail.yahoo.co.jp", ""),
    ("Proton Mail", "email", "mail.proton.me mail.protonmail.com", "protonmail"),
    ("GMX", "email", "gmx.net gmx.de gmx.com", "gmx"),
    ("WEB.DE", "email", "web.de", ""),
    ("iCloud Mail", "email", "icloud.com", ""),
    ("Fastmail", "email", "fastmail.com", ""),
    ("Mail.ru", "email", "mail.ru e.mail.ru", ""),
    ("Yandex Mail", "email", "mail.yandex.ru mail.yandex.com", ""),
    ("Mailchimp", "email", "mailchi.mp list-manage.com", "mailchimp"),
    ("Substack", "email", "substack.com", "substack"),
    ("Newsletter", "email", "", "newsletter email e-mail mail mailing"),
    ("YouTube", "video", "youtube.com youtu.be m.youtube.com com.google.android.youtube", "youtube yt"),
    ("Vimeo", "video", "vimeo.com", "vimeo"),
    ("Twitch", "video", "twitch.tv", "twitch"),
    ("Dailymotion", "video", "dailymotion.com", "dailymotion"),
    ("Bilibili", "video", "bilibili.com", "bilibili"),
    ("Rumble", "video", "rumble.com", "rumble"),
    ("Odysee", "video", "odysee.com", ""),
    ("ChatGPT", "ai", "chatgpt.com chat.openai.com", "chatgpt chatgpt.com openai"),
    ("Claude", "ai", "claude.ai", "claude claude.ai"),
    ("Perplexity", "ai", "perplexity.ai", "perplexity"),
    ("Gemini", "ai", "gemini.google.com bard.google.com com.google.android.apps.bard", "gemini"),
    ("Microsoft Copilot", "ai", "copilot.microsoft.com copilot.cloud.microsoft", "copilot"),
    ("Grok", "ai", "grok.com", "grok"),
    ("Meta AI", "ai", "meta.ai", ""),
    ("Mistral", "ai", "chat.mistral.ai", "mistral"),
    ("DeepSeek", "ai", "chat.deepseek.com", "deepseek"),
    ("Phind", "ai", "phind.com", ""),
    ("You.com", "ai", "you.com", ""),
    ("Poe", "ai", "poe.com", ""),
    ("Hacker News", "news", "news.ycombinator.com hckrnews.com", "hackernews hn"),
    ("Lobsters", "news", "lobste.rs", "lobsters"),
    ("Google News", "news", "news.google.com com.google.android.apps.magazines", "googlenews"),
    ("Google Discover", "news", "", "discover"),
    ("Apple News", "news", "apple.news", "applenews"),
    ("Flipboard", "news", "flipboard.com flip.it flipboard.app", "flipboard"),
    ("Feedly", "news", "feedly.com", "feedly"),
    ("Inoreader", "news", "inoreader.com", ""),
    ("SmartNews", "news", "smartnews.com jp.gocro.smartnews.android", "smartnews"),
    ("MSN", "news", "msn.com", "msn"),
    ("Slashdot", "news", "slashdot.org", ""),
    ("Product Hunt", "news", "producthunt.com", "producthunt"),
    ("Pocket", "news", "getpocket.com", "pocket"),
    ("Medium", "news", "medium.com", "medium"),
    ("dev.to", "news", "dev.to", ""),
    ("GitHub", "news", "github.com", "github"),
    ("Amazon", "shopping", "amazon.*", "amazon"),
    ("eBay", "shopping", "ebay.*", "ebay"),
    ("Etsy", "shopping", "etsy.com", "etsy"),
    ("AliExpress", "shopping", "aliexpress.com", ""),
    ("Google Shopping", "shopping", "shopping.google.com", ""),
    ("idealo", "shopping", "idealo.de", "idealo"),
    ("Google Ads network", "ads", "doubleclick.net googlesyndication.com", "doubleclick dv360"),
    ("Taboola", "ads", "taboola.com", "taboola"),
    ("Outbrain", "ads", "outbrain.com", "outbrain"),
    ("Criteo", "ads", "criteo.com", "criteo"),
)  # fmt: skip

# Second-level endings under which countries sell names: google.co.uk, yandex.com.tr.
_SECOND_LEVEL = frozenset({"co", "com", "net", "org"})

_BY_DOMAIN: dict[str, Source] = {}
_BY_BRAND: dict[str, Source] = {}  # "google" of google.*
_BY_NAME: dict[str, Source] = {}
for _name, _kind, _domains, _names in _TABLE:
    for _domain in _domains.split():
        if _domain.endswith(".*"):
            _BY_BRAND[_domain[:-2]] = Source(_name, _kind)
        else:
            _BY_DOMAIN[_domain] = Source(_name, _kind)
    for _alias in (_name.lower(), *_names.split()):
        _BY_NAME[_alias] = Source(_name, _kind)


def by_host(host: str) -> Source:
    """Source of a referrer's host (lower case); one not in the table is named by its host."""
    rest = host
    while rest:
        if found := _BY_DOMAIN.get(rest):
            return found
        first, _, ending = rest.partition(".")
        if first in _BY_BRAND and _is_ending(ending):
            return _BY_BRAND[first]
        rest = ending
    return Source(host, "")


def by_name(text: str) -> Source:
    """Source of a ``utm_source``, a name or a host; one not in the table keeps its spelling."""
    low = text.lower()
    if found := _BY_NAME.get(low):
        return found
    if "." in low and (named := by_host(low.removeprefix("www."))).kind:
        return named
    return Source(text, "")


def _is_ending(text: str) -> bool:
    """Whether text is what follows a brand in a host: a top-level name, or like co.uk."""
    second, _, top = text.partition(".")
    if not top:
        return 2 <= len(second) <= 3
    return second in _SECOND_LEVEL and len(top) == 2
