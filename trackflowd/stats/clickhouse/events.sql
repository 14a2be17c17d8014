-- Events by name; page views and "leave", which carries their engaged time, are no events of one's own.
WITH {{kept}}
SELECT{{day}} name AS event, count(*) AS events, count(DISTINCT visitor) AS visitors
FROM kept
WHERE name NOT IN ('pageview', 'leave')
GROUP BY name{{by_day}}
ORDER BY events DESC, visitors DESC, event
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
