-- Browsers by visitors.
SELECT browser AS name, count(DISTINCT (site, visitor)) AS visitors, count(*) FILTER (WHERE events.name = 'pageview') AS views
FROM events
WHERE ({site:String} = '' OR site = {site:String})
  AND time >= timestamptz 'epoch' + {start_ms:Int64} * interval '1 ms'
  AND time < timestamptz 'epoch' + {end_ms:Int64} * interval '1 ms'
  AND received >= timestamptz 'epoch' + {start_ms:Int64} * interval '1 ms'
  AND received < timestamptz 'epoch' + ({end_ms:Int64} + {late_ms:Int64}) * interval '1 ms'
  AND bot = ''
GROUP BY browser
ORDER BY visitors DESC, views DESC, browser
LIMIT {limit:UInt32}
