-- Kinds of device by visitors.
-- Of each visitor first: a table of hashes, where count(DISTINCT) sorts.
WITH {{kept}}
SELECT v.device, count(*) AS visitors, sum(v.views) AS views, sum(v.events) AS events
FROM
(
    SELECT
        device,
        count(*) FILTER (WHERE name = 'pageview') AS views,
        count(*) FILTER (WHERE name NOT IN ('pageview', 'leave')) AS events
    FROM kept
    GROUP BY device, visitor
) AS v
GROUP BY v.device
ORDER BY visitors DESC, views DESC, events DESC, device
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
