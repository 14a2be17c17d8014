-- Kinds of device by visitors.
WITH {{kept}}
SELECT{{day}}
    device,
    count(DISTINCT visitor) AS visitors,
    countIf(name = 'pageview') AS views,
    countIf(name NOT IN ('pageview', 'leave')) AS events
FROM kept
GROUP BY device{{by_day}}
ORDER BY visitors DESC, views DESC, events DESC, device
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
