-- Campaigns (utm_campaign) that visits came by.
WITH {{visits utm_campaign}}
SELECT{{day}}
    label AS campaign,
    count(*) AS visits,
    count(DISTINCT visitor) AS visitors,
    sum(v.views) AS views,
    sum(v.bounce) AS bounces,
    sum(v.last_ms - v.first_ms) AS visit_ms
FROM visits AS v
GROUP BY campaign{{by_day}}
ORDER BY visits DESC, visitors DESC, views DESC, campaign
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
