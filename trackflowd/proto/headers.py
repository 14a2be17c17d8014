"""Header names: which are kept, which are passed over, which may not be twice.

Only headers somebody asks for are kept. Names are compared as they come first (one look-up in a
table of usual spellings), in lower case only when that fails.
"""

from __future__ import annotations

from typing import Final

#: An admin's token in it: the answer is what would be decided (``trial``).
DEBUG: Final = b"x-trackflow-debug"

#: Headers that are kept. Framing and policy first, then what dialects and enrichment read.
KEPT: Final[frozenset[bytes]] = frozenset(
    {
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"expect",
        b"upgrade",
        b"content-type",
        b"content-encoding",
        b"accept-encoding",
        b"if-none-match",
        b"origin",
        b"user-agent",
        b"accept-language",
        b"referer",
        b"authorization",
        b"dnt",
        b"sec-gpc",
        b"x-forwarded-for",
        b"forwarded",
        b"access-control-request-method",
        b"access-control-request-headers",
        DEBUG,
    }
)

#: What browsers and proxies send beside and says nothing of a person.
_PASSED: Final[frozenset[bytes]] = frozenset(
    {
        b"accept",
        b"cache-control",
        b"connection",
        b"keep-alive",
        b"pragma",
        b"priority",
        b"sec-ch-ua",
        b"sec-ch-ua-mobile",
        b"sec-ch-ua-platform",
        b"sec-fetch-dest",
        b"sec-fetch-mode",
        b"sec-fetch-site",
        b"sec-fetch-storage-access",
        b"sec-fetch-user",
        b"te",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
    }
)

#: Name as usually spelled → kept name, or b"" for one that is passed over.
USUAL: Final[dict[bytes, bytes]] = {
    spelled: name if name in KEPT else b"" for name in KEPT | _PASSED for spelled in (name, name.title(), name.upper())
}

#: Names that differ from a framing header only by an underscore: proxies that turn ``_`` into ``-``
#: would see another message than we do.
TWINS: Final = frozenset({b"content_length", b"transfer_encoding"})

#: Lists: several lines are one list.
LISTS: Final = frozenset({b"x-forwarded-for", b"forwarded"})

#: Headers that may not be twice, and the refusal's code.
ONCE: Final[dict[bytes, str]] = {
    b"host": "bad_host",
    b"content-length": "malformed",
    b"content-type": "malformed",
    b"content-encoding": "malformed",
    b"transfer-encoding": "bad_transfer",
    b"expect": "malformed",
}
