-- Pages by visitors.
SELECT path AS name, uniqExact(site, visitor) AS visitors, count() AS views
FROM events
WHERE ({site:String} = '' OR site = {site:String})
  AND time >= fromUnixTimestamp64Milli({start_ms:Int64}) AND time < fromUnixTimestamp64Milli({end_ms:Int64})
  AND received >= fromUnixTimestamp64Milli({start_ms:Int64})
  AND received < fromUnixTimestamp64Milli({end_ms:Int64} + {late_ms:Int64})
  AND bot = ''
  AND events.name = 'pageview'
GROUP BY path
ORDER BY visitors DESC, views DESC, name
LIMIT {limit:UInt32}
