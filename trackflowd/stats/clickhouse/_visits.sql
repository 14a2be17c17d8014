-- Part: visits that began in the period, whole, of which an event passes the filters. A visit is a visitor's events
-- with less than 30 minutes between one and the next. label is that of its first event; of several at the same
-- millisecond, the first as texts are ordered that is not empty.
-- In es an event is one number, since sorting numbers is cheap: ms * 16, 1 it passes the filters, 2 a visit may begin so,
-- 4 page view, 8 event of one's own. Few events have a label.
visits AS
(
    SELECT
        visitor,
        bitShiftRight(v[1], 4) AS first_ms,
        bitShiftRight(v[-1], 4) AS last_ms,
        arrayCount(e -> bitTest(e, 2), v) AS views,
        arrayCount(e -> bitTest(e, 3), v) AS others,
        toUInt8(views = 1 AND others = 0) AS bounce,
        arrayFirst(e -> e.1 = first_ms, labels).2 AS label
    FROM
    (
        SELECT
            visitor,
            arraySort(groupArray(
                toUnixTimestamp64Milli(time) * 16
                + toUInt8({{filters}}) + 2 * toUInt8({{begin}}) + multiIf(name = 'pageview', 4, name = 'leave', 0, 8)
            )) AS es,
            arraySort(groupArrayIf((toUnixTimestamp64Milli(time), {{label}}), {{label}} != '')) AS labels
        FROM events
        WHERE {{read}}
        GROUP BY visitor
    )
    ARRAY JOIN arraySplit((e, gap) -> gap >= 1800000, es, arrayDifference(arrayMap(e -> bitShiftRight(e, 4), es))) AS v
    WHERE first_ms >= {start_ms:Int64}
      AND arrayExists(e -> bitTest(e, 0), v)
      AND arrayExists(e -> bitTest(e, 1) AND bitShiftRight(e, 4) = first_ms, v)
)
