-- Countries by visitors.
SELECT country AS name, uniqExact(site, visitor) AS visitors, countIf(events.name = 'pageview') AS views
FROM events
WHERE ({site:String} = '' OR site = {site:String})
  AND time >= fromUnixTimestamp64Milli({start_ms:Int64}) AND time < fromUnixTimestamp64Milli({end_ms:Int64})
  AND received >= fromUnixTimestamp64Milli({start_ms:Int64})
  AND received < fromUnixTimestamp64Milli({end_ms:Int64} + {late_ms:Int64})
  AND bot = ''
GROUP BY country
ORDER BY visitors DESC, views DESC, name
LIMIT {limit:UInt32}
