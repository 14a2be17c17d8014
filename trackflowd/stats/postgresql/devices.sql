-- Kinds of device by visitors.
WITH {{kept}}
SELECT
    device,
    count(DISTINCT visitor) AS visitors,
    count(*) FILTER (WHERE name = 'pageview') AS views,
    count(*) FILTER (WHERE name NOT IN ('pageview', 'leave')) AS events
FROM kept
GROUP BY device
ORDER BY visitors DESC, views DESC, events DESC, device
LIMIT {limit:UInt32}
