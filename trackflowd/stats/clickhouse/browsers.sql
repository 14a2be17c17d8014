-- Browsers by visitors.
WITH {{kept}}
SELECT{{day}}
    browser,
    count(DISTINCT visitor) AS visitors,
    countIf(name = 'pageview') AS views,
    countIf(name NOT IN ('pageview', 'leave')) AS events
FROM kept
GROUP BY browser{{by_day}}
ORDER BY visitors DESC, views DESC, events DESC, browser
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
