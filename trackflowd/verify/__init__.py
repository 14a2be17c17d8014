"""``trackflow verify``: is a site's tracker there, reachable, allowed and counted? Looks as a browser would."""
