-- Of each day that visitors' numbers end with: from when to when it is seen (ms), how many events there are, a sum of
-- hashes over all of them, when they were received; a half hour with visitors of two days has them in day and last_day.
-- Answered from the projection of that name, of which the inner SELECT is a copy.
SELECT
    h.day AS day,
    h.last_day AS last_day,
    min(h.half_hour) * 1800000 AS start_ms,
    (max(h.half_hour) + 1) * 1800000 AS end_ms,
    sum(h.events) AS events,
    sum(h.stamp) AS stamp,
    toUnixTimestamp64Milli(min(h.first_received)) AS first_ms,
    toUnixTimestamp64Milli(max(h.last_received)) AS last_ms
FROM
(
    SELECT
        intDiv(toUnixTimestamp64Milli(time), 1800000) AS half_hour,
        count() AS events,
        sum(cityHash64(
            visitor, time, name, path, source, medium, utm_campaign, referrer_host, country, region, city, browser, os,
            device, bot, engaged_ms, scroll, revenue, currency, received
        )) AS stamp,
        min(bitAnd(visitor, 1023)) AS day,
        max(bitAnd(visitor, 1023)) AS last_day,
        min(received) AS first_received,
        max(received) AS last_received
    FROM events
    WHERE {{site}}
      AND intDiv(toUnixTimestamp64Milli(time), 1800000) >= intDiv({read_ms:Int64}, 1800000)
      AND intDiv(toUnixTimestamp64Milli(time), 1800000) <= intDiv({end_ms:Int64} - 1, 1800000)
    GROUP BY half_hour
) AS h
GROUP BY day, last_day
ORDER BY start_ms
