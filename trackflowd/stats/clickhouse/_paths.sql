-- Part: as _visits; entry and exit are the paths of a visit's first and last page view; of several at the same
-- millisecond, the first (exit: the last) as texts are ordered.
-- In es an event is (ms, path, bits): 1 it passes the filters, 2 a visit may begin so, 4 page view, 8 event of one's own.
visits AS
(
    SELECT
        visitor,
        v[1].1 AS first_ms,
        v[-1].1 AS last_ms,
        arrayCount(e -> bitTest(e.3, 2), v) AS views,
        arrayCount(e -> bitTest(e.3, 3), v) AS others,
        toUInt8(views = 1 AND others = 0) AS bounce,
        arrayFirst(e -> bitTest(e.3, 2), v).2 AS entry,
        arrayLast(e -> bitTest(e.3, 2), v).2 AS exit
    FROM
    (
        SELECT
            visitor,
            arraySort(groupArray((
                toUnixTimestamp64Milli(time),
                path,
                toUInt8(
                    toUInt8({{filters}}) + 2 * toUInt8({{begin}}) + multiIf(name = 'pageview', 4, name = 'leave', 0, 8)
                )
            ))) AS es
        FROM events
        WHERE {{read}}
        GROUP BY visitor
    )
    ARRAY JOIN arraySplit((e, gap) -> gap >= 1800000, es, arrayDifference(es.1)) AS v
    WHERE v[1].1 >= {start_ms:Int64}
      AND arrayExists(e -> bitTest(e.3, 0), v)
      AND arrayExists(e -> bitTest(e.3, 1) AND e.1 = v[1].1, v)
)
