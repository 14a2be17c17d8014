-- Pages by visitors; as pages.sql, without the columns that the overview does not show.
WITH {{kept}}
SELECT{{day}} path AS page, count(DISTINCT visitor) AS visitors, countIf(name = 'pageview') AS views
FROM kept
WHERE path <> ''
GROUP BY path{{by_day}}
ORDER BY visitors DESC, views DESC, page
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
