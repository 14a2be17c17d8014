-- Values of one property.
WITH {{kept}}
SELECT props[{property:String}] AS value, count(*) AS events, count(DISTINCT visitor) AS visitors
FROM kept
WHERE name <> 'leave' AND mapContains(props, {property:String})
GROUP BY value
ORDER BY events DESC, visitors DESC, value
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
