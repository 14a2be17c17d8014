-- Numbers of a period. A visit is a visitor's events with less than 30 minutes between one and the next.
-- (received bounds the partitions that are read: it is never before time.)
SELECT
    count(DISTINCT (site, visitor)) AS visitors,
    count(*) FILTER (WHERE gap IS NULL OR gap >= interval '30 minutes') AS visits,
    count(*) FILTER (WHERE name = 'pageview') AS views,
    count(*) FILTER (WHERE name <> 'pageview') AS events
FROM
(
    SELECT site, visitor, name, time - lag(time) OVER (PARTITION BY site, visitor ORDER BY time) AS gap
    FROM events
    WHERE ({site:String} = '' OR site = {site:String})
      AND time >= timestamptz 'epoch' + {start_ms:Int64} * interval '1 ms'
      AND time < timestamptz 'epoch' + {end_ms:Int64} * interval '1 ms'
      AND received >= timestamptz 'epoch' + {start_ms:Int64} * interval '1 ms'
      AND received < timestamptz 'epoch' + ({end_ms:Int64} + {late_ms:Int64}) * interval '1 ms'
      AND bot = ''
) AS gaps
