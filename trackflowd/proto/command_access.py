"""Rows of the table of commands about who may send and ask what: sites, server keys, tokens."""

from __future__ import annotations

from trackflowd.proto.command_words import Arg, Command

_WHICH = Arg("which", "text", "its number, or its name")

TOKENS = (
    Command(
        "tokens", "bearer tokens of the admin listener, newest first", (),
        "`id`, `name`, `scope`, `state` (active, expired, revoked), `created_ms`, `expires_ms`, `used_ms`, "
        "`revoked_ms` (null: never, not yet); no secret", "tokens list",
    ),
    Command(
        "token_add", "make a token of the admin listener",
        (Arg("name", "text", "whose or what for; letters, digits, ._-"), Arg("scope", "text", "read or admin", "read"),
         Arg("expires", "number", "seconds it lasts; 0: for ever", 0)),
        "as `tokens` has it, and `token`, its text, this once. Errors `token_exists`, `too_many_tokens`", "tokens add",
        acting=True,
    ),
    Command(
        "token_revoke", "have a token, or all of a name, not work any more", (_WHICH,),
        "`revoked`: those. Error `no_token`: none that works", "tokens revoke", acting=True,
    ),
    Command(
        "token_rotate", "make a successor of a token; the old one works beside it for a while",
        (_WHICH, Arg("overlap", "number", "seconds it does", 86_400)),
        "as `token_add`, and `old`: the one before. Error `no_token`", "tokens rotate", acting=True,
    ),
)  # fmt: skip

_SITE = Arg("site", "text", 'its id; "*": all that have no row of their own')
_PUBLISHED = "`published` (false: the disk is full, workers will know later)"

SITES = (
    Command(
        "sites", "the registered sites and their settings, a page of them by id",
        (Arg("limit", "number", "at most so many, 1 to 2001", 1000),
         Arg("after", "text", "`next` of the page before; empty: the first", "")),
        "`mode` (open, registered), `sites` (as `site` has each), `next` (empty: no more)", "sites list",
    ),
    Command(
        "site", "one site", (_SITE,),
        "`site`, `settings` ([sites.md](sites.md)), `keys` (that work), `created_ms`, `changed_ms`. Error `no_site`",
        "sites show",
    ),
    Command(
        "site_add", "register a site",
        (Arg("site", "text", "its id"), Arg("settings", "map", "by name; others have their default", None)),
        "as `site` has it, and " + _PUBLISHED + ". Errors `site_exists`, `too_many_sites`", "sites add", acting=True,
    ),
    Command(
        "site_set", "change settings of a site",
        (_SITE, Arg("settings", "map", "by name; null: the default again")),
        "as `site` has it, `changed` (`old` and `new` by name), `published`. Error `no_site`", "sites set",
        acting=True,
    ),
    Command(
        "site_remove", "forget a site; its events stay",
        (_SITE, Arg("revoke_keys", "flag", "revoke its keys, too; else it must have none that works", False)),
        "`removed`, `revoked` (its keys), `published`. Errors `no_site`, `site_has_keys`", "sites remove", acting=True,
    ),
    Command(
        "sites_export", "sites and, where asked for, hashes of keys, for other hosts",
        (Arg("keys", "flag", "with the hashes of keys", False),),
        "the document that `sites_import` takes", "sites export", acting=True,
    ),
    Command(
        "sites_import", "take on sites and keys of another host, all of it or nothing",
        (Arg("document", "map", "what `sites_export` answers", noted="keys"),
         Arg("replace", "flag", "what is here and not there goes", False),
         Arg("dry_run", "flag", "only say what would change", False)),
        "`changes` (`site` or `key`, `change`, `settings`), `same` (how many are the same), `applied`, `published`. "
        "Errors `bad_document`, `key_conflict`, `too_many_sites`, `too_many_keys`", "sites import", acting=True,
    ),
    Command(
        "keys", "server keys, newest first", (Arg("site", "text", "only of this site", ""),),
        "`id`, `name`, `site`, `state` (active, expired, revoked), `created_ms`, `expires_ms`, `used_ms`, `revoked_ms` "
        "(null: never, not yet); no secret", "keys list",
    ),
    Command(
        "key_add", "make a server key of a site",
        (Arg("site", "text", 'whose events it may send; "*": all'),
         Arg("name", "text", "whose or what for; letters, digits, ._-", "server"),
         Arg("expires", "number", "seconds it lasts; 0: for ever", 0)),
        "as `keys` has it, `key`, its text, this once, and `published`. Errors `no_site`, `key_exists`, "
        "`too_many_keys`", "keys add", acting=True,
    ),
    Command(
        "key_revoke", "have a key, or all of a name, not work any more",
        (Arg("which", "text", "its number, its name, or SITE/NAME"),),
        "`revoked`: those, `published`. Error `no_key`: none that works", "keys revoke", acting=True,
    ),
    Command(
        "key_rotate", "make a successor of a key; the old one works beside it for a while",
        (Arg("which", "text", "its number, its name, or SITE/NAME"),
         Arg("overlap", "number", "seconds it does", 86_400)),
        "as `key_add`, and `old`: the one before. Error `no_key`", "keys rotate", acting=True,
    ),
)  # fmt: skip
