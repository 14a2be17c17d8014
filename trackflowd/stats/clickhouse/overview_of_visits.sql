-- Numbers of a period where filters look at how visits began: what an event counts depends on its visit.
WITH {{kept}},
{{visits}}
SELECT k.visitors, v.visits, k.views, k.events, v.bounces, v.visit_ms, k.engaged_ms
FROM
(
    SELECT
        count(DISTINCT visitor) AS visitors,
        countIf(name = 'pageview') AS views,
        countIf(name NOT IN ('pageview', 'leave')) AS events,
        sum(engaged_ms) AS engaged_ms
    FROM kept
) AS k
CROSS JOIN
(
    SELECT count(*) AS visits, sum(bounce) AS bounces, sum(last_ms - first_ms) AS visit_ms
    FROM visits
) AS v
