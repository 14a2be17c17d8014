-- Properties by how many events have them.
WITH {{kept}}
SELECT
    p.key COLLATE "C" AS property,
    count(*) AS events,
    count(DISTINCT visitor) AS visitors,
    count(DISTINCT p.text) AS different
FROM kept
CROSS JOIN LATERAL jsonb_each_text(props) AS p (key, text)
WHERE name <> 'leave'
GROUP BY property
ORDER BY events DESC, visitors DESC, property
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
