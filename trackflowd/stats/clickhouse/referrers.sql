-- Hosts of the pages that visits came from.
WITH {{visits referrer_host}}
SELECT{{day}}
    label AS referrer,
    count(*) AS visits,
    count(DISTINCT visitor) AS visitors,
    sum(v.views) AS views,
    sum(v.bounce) AS bounces,
    sum(v.last_ms - v.first_ms) AS visit_ms
FROM visits AS v
GROUP BY referrer{{by_day}}
ORDER BY visits DESC, visitors DESC, views DESC, referrer
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
