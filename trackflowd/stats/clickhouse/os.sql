-- Operating systems by visitors.
WITH {{kept}}
SELECT
    os,
    count(DISTINCT visitor) AS visitors,
    countIf(name = 'pageview') AS views,
    countIf(name NOT IN ('pageview', 'leave')) AS events
FROM kept
GROUP BY os
ORDER BY visitors DESC, views DESC, events DESC, os
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
