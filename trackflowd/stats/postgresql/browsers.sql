-- Browsers by visitors.
WITH {{kept}}
SELECT
    browser,
    count(DISTINCT visitor) AS visitors,
    count(*) FILTER (WHERE name = 'pageview') AS views,
    count(*) FILTER (WHERE name NOT IN ('pageview', 'leave')) AS events
FROM kept
GROUP BY browser
ORDER BY visitors DESC, views DESC, events DESC, browser
LIMIT {limit:UInt32}
