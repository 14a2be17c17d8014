-- Numbers of a period. A visit is a visitor's events with less than 30 minutes between one and the next.
-- (received bounds the partitions that are read: it is never before time.)
SELECT
    count() AS visitors,
    sum(visitor_visits) AS visits,
    sum(visitor_views) AS views,
    sum(visitor_events) AS events
FROM
(
    SELECT
        1 + arrayCount(gap -> gap >= 1800000, arrayDifference(arraySort(groupArray(toUnixTimestamp64Milli(time)))))
            AS visitor_visits,
        countIf(name = 'pageview') AS visitor_views,
        countIf(name != 'pageview') AS visitor_events
    FROM events
    WHERE ({site:String} = '' OR site = {site:String})
      AND time >= fromUnixTimestamp64Milli({start_ms:Int64}) AND time < fromUnixTimestamp64Milli({end_ms:Int64})
      AND received >= fromUnixTimestamp64Milli({start_ms:Int64})
      AND received < fromUnixTimestamp64Milli({end_ms:Int64} + {late_ms:Int64})
      AND bot = ''
    GROUP BY site, visitor
)
