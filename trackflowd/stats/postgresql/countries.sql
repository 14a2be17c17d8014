-- Countries by visitors.
-- Of each visitor first: a table of hashes, where count(DISTINCT) sorts.
WITH {{kept}}
SELECT v.country, count(*) AS visitors, sum(v.views) AS views, sum(v.events) AS events
FROM
(
    SELECT
        country,
        count(*) FILTER (WHERE name = 'pageview') AS views,
        count(*) FILTER (WHERE name NOT IN ('pageview', 'leave')) AS events
    FROM kept
    GROUP BY country, visitor
) AS v
GROUP BY v.country
ORDER BY visitors DESC, views DESC, events DESC, country
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
