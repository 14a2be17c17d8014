-- Sources by visitors. A visitor's source is that of the first event in the period: later ones come from the site itself.
SELECT source AS name, count(*) AS visitors, sum(visitor_views) AS views
FROM
(
    SELECT (array_agg(source ORDER BY time, event_id))[1] AS source,
        count(*) FILTER (WHERE name = 'pageview') AS visitor_views
    FROM events
    WHERE ({site:String} = '' OR site = {site:String})
      AND time >= timestamptz 'epoch' + {start_ms:Int64} * interval '1 ms'
      AND time < timestamptz 'epoch' + {end_ms:Int64} * interval '1 ms'
      AND received >= timestamptz 'epoch' + {start_ms:Int64} * interval '1 ms'
      AND received < timestamptz 'epoch' + ({end_ms:Int64} + {late_ms:Int64}) * interval '1 ms'
      AND bot = ''
    GROUP BY site, visitor
) AS visitors_of_it
GROUP BY source
ORDER BY visitors DESC, views DESC, source
LIMIT {limit:UInt32}
