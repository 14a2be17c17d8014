"""What the worker adds to an event before it becomes a row.

======== ==================================================================================
url      page address → hostname, path, query, campaign parameters, click id kind
referrer page before + campaign → source, medium, channel (tables: sources, channels)
agent    User-Agent → browser, operating system, device class
bots     User-Agent → the rule that says it is not a person
geo      address → country, region, city, autonomous system
visitor  salt, site, address, agent → a number that lives a day
cache    the bounded cache they share
finish   all of it, as encoded parts behind caches: one call per event
======== ==================================================================================

Nothing here knows of HTTP, the ring or asyncio; ``geo`` holds a file, nothing else does I/O.
The client's address goes in and never comes out.
"""
