-- Countries by visitors.
WITH {{kept}}
SELECT
    country,
    count(DISTINCT visitor) AS visitors,
    count(*) FILTER (WHERE name = 'pageview') AS views,
    count(*) FILTER (WHERE name NOT IN ('pageview', 'leave')) AS events
FROM kept
GROUP BY country
ORDER BY visitors DESC, views DESC, events DESC, country
LIMIT {limit:UInt32}
