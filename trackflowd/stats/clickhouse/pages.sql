-- Pages by visitors, with the time they were looked at and how far they were read (deepest scroll of each visitor).
WITH {{kept}}
SELECT{{day}}
    p.path AS page,
    count(*) AS visitors,
    sum(p.viewed) AS views,
    sum(p.engaged) AS engaged_ms,
    sum(p.deepest) AS scroll_sum,
    countIf(p.deepest > 0) AS scroll_n
FROM
(
    SELECT visitor, path, countIf(name = 'pageview') AS viewed, sum(engaged_ms) AS engaged, max(scroll) AS deepest
    FROM kept
    WHERE path <> ''
    GROUP BY visitor, path
) AS p
GROUP BY p.path{{by_day}}
ORDER BY visitors DESC, views DESC, page
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
