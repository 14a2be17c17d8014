"""Attributes by name, and what they look like: in 256 colours, in 16, in none.

Colours have one meaning everywhere: green is well, yellow wants a look, red wants a person, cyan is a quantity.
Plain text keeps the terminal's own colours, so that light and dark themes both work, and nothing is said by colour
alone: where a state matters there is a word for it.
"""

from __future__ import annotations

from collections.abc import Sequence

#: Name, foreground and background of 16 colours, without colours, foreground and background of 256.
Entry = tuple[str, str, str, str, str, str]

PALETTE: Sequence[Entry] = (
    ("dim", "dark gray", "default", "default", "h244", "default"),
    ("bold", "default,bold", "default", "bold", "default,bold", "default"),
    ("title", "default,bold", "default", "bold", "default,bold", "default"),
    ("rule", "dark gray", "default", "default", "h240", "default"),
    ("good", "dark green", "default", "default", "h34", "default"),
    ("odd", "brown", "default", "bold", "h178", "default"),
    ("bad", "light red,bold", "default", "bold,underline", "h196,bold", "default"),
    ("chart", "dark cyan", "default", "default", "h38", "default"),
    ("name", "dark cyan", "default", "default", "h38", "default"),
    ("key", "dark cyan,bold", "default", "bold", "h38,bold", "default"),
    ("head", "white", "dark blue", "standout", "h255", "h24"),
    ("head dim", "light gray", "dark blue", "standout", "h250", "h24"),
    ("head name", "white,bold", "dark blue", "standout,bold", "h255,bold", "h24"),
    ("head good", "black", "dark green", "standout", "h232", "h35"),
    ("head odd", "black", "brown", "standout,bold", "h232", "h178"),
    ("head bad", "white,bold", "dark red", "standout,bold", "h255,bold", "h160"),
    ("tab", "default", "default", "default", "default", "default"),
    ("tab on", "default,standout,bold", "default", "standout,bold", "h255,bold", "h31"),
    ("select", "default,standout", "default", "standout", "h255", "h31"),
    ("button", "default", "default", "default", "default", "default"),
    ("button on", "default,standout,bold", "default", "standout,bold", "h255,bold", "h31"),
)

NAMES = frozenset(entry[0] for entry in PALETTE)
