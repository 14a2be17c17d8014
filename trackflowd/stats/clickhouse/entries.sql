-- Pages on which visits began.
WITH {{paths}}
SELECT{{day}}
    entry AS page,
    count(*) AS visits,
    count(DISTINCT visitor) AS visitors,
    sum(v.views) AS views,
    sum(v.bounce) AS bounces,
    sum(v.last_ms - v.first_ms) AS visit_ms
FROM visits AS v
WHERE v.views > 0
GROUP BY page{{by_day}}
ORDER BY visits DESC, visitors DESC, views DESC, page
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
