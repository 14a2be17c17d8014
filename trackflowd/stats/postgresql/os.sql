-- Operating systems by visitors.
WITH {{kept}}
SELECT
    os,
    count(DISTINCT visitor) AS visitors,
    count(*) FILTER (WHERE name = 'pageview') AS views,
    count(*) FILTER (WHERE name NOT IN ('pageview', 'leave')) AS events
FROM kept
GROUP BY os
ORDER BY visitors DESC, views DESC, events DESC, os
LIMIT {limit:UInt32}
