-- Part: visits that began in the period, whole, of which an event passes the filters. A visit is a visitor's events
-- with less than 30 minutes between one and the next. label is that of its first event, entry and exit those of its
-- first and last page view; of several at the same millisecond, the first (exit: the last) as texts are ordered.
visits AS
(
    SELECT
        site,
        visitor,
        v[1].1 AS first_ms,
        v[-1].1 AS last_ms,
        arrayCount(e -> e.3 = 1, v) AS views,
        arrayCount(e -> e.3 = 2, v) AS others,
        toUInt8(views = 1 AND others = 0) AS bounce,
        v[1].2 AS label,
        arrayFirst(e -> e.3 = 1, v).2 AS entry,
        arrayLast(e -> e.3 = 1, v).2 AS exit
    FROM
    (
        SELECT
            site,
            visitor,
            arraySort(groupArray((
                toUnixTimestamp64Milli(time),
                {{label}},
                multiIf(name = 'pageview', 1, name = 'leave', 0, 2),
                toUInt8({{filters}}),
                toUInt8({{begin}})
            ))) AS es
        FROM events
        WHERE {{read}}
        GROUP BY site, visitor
    )
    ARRAY JOIN arraySplit((e, gap) -> gap >= 1800000, es, arrayDifference(es.1)) AS v
    WHERE v[1].1 >= {start_ms:Int64}
      AND arrayExists(e -> e.4, v)
      AND arrayExists(e -> e.5 AND e.1 = v[1].1, v)
)
