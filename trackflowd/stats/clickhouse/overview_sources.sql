-- Sources by visitors. A visitor's source is that of the first event in the period: later ones come from the site itself.
SELECT source AS name, count() AS visitors, sum(visitor_views) AS views
FROM
(
    SELECT argMin(source, (time, event_id)) AS source, countIf(name = 'pageview') AS visitor_views
    FROM events
    WHERE ({site:String} = '' OR site = {site:String})
      AND time >= fromUnixTimestamp64Milli({start_ms:Int64}) AND time < fromUnixTimestamp64Milli({end_ms:Int64})
      AND received >= fromUnixTimestamp64Milli({start_ms:Int64})
      AND received < fromUnixTimestamp64Milli({end_ms:Int64} + {late_ms:Int64})
      AND bot = ''
    GROUP BY site, visitor
)
GROUP BY name
ORDER BY visitors DESC, views DESC, name
LIMIT {limit:UInt32}
