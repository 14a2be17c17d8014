-- Who is there now.
WITH {{kept}}
SELECT
    count(DISTINCT visitor) AS visitors,
    count(*) FILTER (WHERE name = 'pageview') AS views,
    count(*) FILTER (WHERE name NOT IN ('pageview', 'leave')) AS events
FROM kept
