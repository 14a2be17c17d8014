-- Operating systems by visitors.
WITH {{kept}}
SELECT{{day}}
    os,
    count(DISTINCT visitor) AS visitors,
    countIf(name = 'pageview') AS views,
    countIf(name NOT IN ('pageview', 'leave')) AS events
FROM kept
GROUP BY os{{by_day}}
ORDER BY visitors DESC, views DESC, events DESC, os
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
