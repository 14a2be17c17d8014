-- Browsers by visitors.
-- Of each visitor first: a table of hashes, where count(DISTINCT) sorts.
WITH {{kept}}
SELECT v.browser, count(*) AS visitors, sum(v.views) AS views, sum(v.events) AS events
FROM
(
    SELECT
        browser,
        count(*) FILTER (WHERE name = 'pageview') AS views,
        count(*) FILTER (WHERE name NOT IN ('pageview', 'leave')) AS events
    FROM kept
    GROUP BY browser, visitor
) AS v
GROUP BY v.browser
ORDER BY visitors DESC, views DESC, events DESC, browser
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
