-- Values of one property.
WITH {{kept}}
SELECT (props ->> {property:String}) COLLATE "C" AS value, count(*) AS events, count(DISTINCT visitor) AS visitors
FROM kept
WHERE name <> 'leave' AND props ->> {property:String} IS NOT NULL
GROUP BY value
ORDER BY events DESC, visitors DESC, value
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
