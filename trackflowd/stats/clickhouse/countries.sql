-- Countries by visitors.
WITH {{kept}}
SELECT
    country,
    count(DISTINCT visitor) AS visitors,
    countIf(name = 'pageview') AS views,
    countIf(name NOT IN ('pageview', 'leave')) AS events
FROM kept
GROUP BY country
ORDER BY visitors DESC, views DESC, events DESC, country
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
