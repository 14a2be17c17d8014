-- Operating systems by visitors.
-- Of each visitor first: a table of hashes, where count(DISTINCT) sorts.
WITH {{kept}}
SELECT v.os, count(*) AS visitors, sum(v.views) AS views, sum(v.events) AS events
FROM
(
    SELECT
        os,
        count(*) FILTER (WHERE name = 'pageview') AS views,
        count(*) FILTER (WHERE name NOT IN ('pageview', 'leave')) AS events
    FROM kept
    GROUP BY os, visitor
) AS v
GROUP BY v.os
ORDER BY visitors DESC, views DESC, events DESC, os
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
