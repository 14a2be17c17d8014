-- Pages by visitors.
SELECT path AS name, count(DISTINCT (site, visitor)) AS visitors, count(*) AS views
FROM events
WHERE ({site:String} = '' OR site = {site:String})
  AND time >= timestamptz 'epoch' + {start_ms:Int64} * interval '1 ms'
  AND time < timestamptz 'epoch' + {end_ms:Int64} * interval '1 ms'
  AND received >= timestamptz 'epoch' + {start_ms:Int64} * interval '1 ms'
  AND received < timestamptz 'epoch' + ({end_ms:Int64} + {late_ms:Int64}) * interval '1 ms'
  AND bot = ''
  AND events.name = 'pageview'
GROUP BY path
ORDER BY visitors DESC, views DESC, path
LIMIT {limit:UInt32}
