-- Numbers of a period.
WITH {{kept}},
{{visits}}
SELECT k.visitors, v.visits, k.views, k.events, v.bounces, v.visit_ms, k.engaged_ms
FROM
(
    SELECT
        count(DISTINCT visitor) AS visitors,
        count(*) FILTER (WHERE name = 'pageview') AS views,
        count(*) FILTER (WHERE name NOT IN ('pageview', 'leave')) AS events,
        coalesce(sum(engaged_ms), 0) AS engaged_ms
    FROM kept
) AS k
CROSS JOIN
(
    SELECT count(*) AS visits, coalesce(sum(bounce), 0) AS bounces, coalesce(sum(last_ms - first_ms), 0) AS visit_ms
    FROM visits
) AS v
