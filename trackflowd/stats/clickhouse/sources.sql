-- Where visits came from.
WITH {{visits source}}
SELECT{{day}}
    label AS source,
    count(*) AS visits,
    count(DISTINCT visitor) AS visitors,
    sum(v.views) AS views,
    sum(v.bounce) AS bounces,
    sum(v.last_ms - v.first_ms) AS visit_ms
FROM visits AS v
GROUP BY source{{by_day}}
ORDER BY visits DESC, visitors DESC, views DESC, source
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
