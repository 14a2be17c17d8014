-- Properties by how many events have them.
WITH {{kept}}
SELECT
    key AS property,
    count(*) AS events,
    count(DISTINCT visitor) AS visitors,
    count(DISTINCT text) AS different
FROM kept
ARRAY JOIN mapKeys(props) AS key, mapValues(props) AS text
WHERE name <> 'leave'
GROUP BY key
ORDER BY events DESC, visitors DESC, property
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
