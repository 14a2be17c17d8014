-- Regions by visitors.
WITH {{kept}}
SELECT{{day}}
    country,
    region,
    count(DISTINCT visitor) AS visitors,
    countIf(name = 'pageview') AS views,
    countIf(name NOT IN ('pageview', 'leave')) AS events
FROM kept
GROUP BY country, region{{by_day}}
ORDER BY visitors DESC, views DESC, events DESC, country, region
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
