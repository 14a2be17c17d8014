-- What statistics ask to know whether a day's events are still those they once added up, and where one day's visitors
-- end and the next one's begin: by site and half hour how many events there are, a sum of hashes over every column that
-- the statistics in question read, and the least and greatest day that a visitor's number ends with (its lowest ten
-- bits). A projection lives and dies with its part, so it cannot disagree with the rows.
-- 0.3 µs an event, and 30 bytes for each site, half hour and part.
ALTER TABLE events ADD PROJECTION IF NOT EXISTS stamps
(
    SELECT
        site,
        intDiv(toUnixTimestamp64Milli(time), 1800000),
        count(),
        sum(cityHash64(
            visitor, time, name, path, source, medium, utm_campaign, referrer_host, country, region, city, browser, os,
            device, bot, engaged_ms, scroll, revenue, currency, received
        )),
        min(bitAnd(visitor, 1023)),
        max(bitAnd(visitor, 1023)),
        min(received),
        max(received)
    GROUP BY site, intDiv(toUnixTimestamp64Milli(time), 1800000)
);

-- For the rows that are there already; runs in the background.
ALTER TABLE events MATERIALIZE PROJECTION stamps SETTINGS mutations_sync = 0;
