-- Figures of each bucket of time; those with nothing in them are left out. A visit is in the bucket in which it began.
WITH {{kept}},
{{visits}}
SELECT
    t.bucket AS bucket,
    sum(t.visitors) AS visitors,
    sum(t.visits) AS visits,
    sum(t.views) AS views,
    sum(t.events) AS events
FROM
(
    SELECT
        {{bucket ms}} AS bucket,
        count(DISTINCT visitor) AS visitors,
        0 AS visits,
        count(*) FILTER (WHERE name = 'pageview') AS views,
        count(*) FILTER (WHERE name NOT IN ('pageview', 'leave')) AS events
    FROM kept
    GROUP BY bucket
    UNION ALL
    SELECT {{bucket first_ms}} AS bucket, 0 AS visitors, count(*) AS visits, 0 AS views, 0 AS events
    FROM visits
    GROUP BY bucket
) AS t
GROUP BY t.bucket
ORDER BY bucket
