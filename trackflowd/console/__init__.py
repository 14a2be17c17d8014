"""``trackflow console``: the daemon on a screen, watched and steered by keys.

From the ground up: ``lines`` and ``charts`` are texts with attributes, fitted to columns; a tab (``overview``,
``pipeline``, …) turns what is known (``knowledge``) into lines; ``desk`` puts header, tab, footer and dialogs on one
screen and takes keys and clicks; ``reader`` gathers what the daemon says, in threads; ``terminal`` shows the desk's
lines by urwid. All but the last two work without a terminal, and without a daemon.
"""
