-- People (user ids: a visitor is another one every day) by the bucket of time in which they were first seen in the
-- period and each one in which they were seen.
WITH {{kept}},
seen AS
(
    SELECT site, user_id, {{bucket ms}} AS bucket
    FROM kept
    WHERE user_id <> ''
    GROUP BY site, user_id, bucket
),
begun AS
(
    SELECT site, user_id, min(bucket) AS cohort
    FROM seen
    GROUP BY site, user_id
)
SELECT b.cohort AS cohort, s.bucket AS bucket, count(*) AS people
FROM seen AS s
INNER JOIN begun AS b ON s.site = b.site AND s.user_id = b.user_id
GROUP BY b.cohort, s.bucket
ORDER BY cohort, bucket
