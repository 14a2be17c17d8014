-- How visits came.
WITH {{visits medium}}
SELECT{{day}}
    label AS medium,
    count(*) AS visits,
    count(DISTINCT visitor) AS visitors,
    sum(v.views) AS views,
    sum(v.bounce) AS bounces,
    sum(v.last_ms - v.first_ms) AS visit_ms
FROM visits AS v
GROUP BY medium{{by_day}}
ORDER BY visits DESC, visitors DESC, views DESC, medium
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
