-- Part: as _kept, and the event is of a visit that began as the filters on sources say.
chosen AS
(
    SELECT visitor, v[1].1 AS first_ms, v[-1].1 AS last_ms
    FROM
    (
        SELECT visitor, arraySort(groupArray((toUnixTimestamp64Milli(time), toUInt8({{begin}})))) AS es
        FROM events
        WHERE {{read}}
        GROUP BY visitor
    )
    ARRAY JOIN arraySplit((e, gap) -> gap >= 1800000, es, arrayDifference(es.1)) AS v
    WHERE arrayExists(e -> e.2 AND e.1 = v[1].1, v)
),
kept AS
(
    SELECT e.*
    FROM
    (
        SELECT *, toUnixTimestamp64Milli(time) AS ms
        FROM events
        WHERE {{period}}
          AND {{filters}}
    ) AS e
    INNER JOIN chosen AS c ON e.visitor = c.visitor
    WHERE e.ms BETWEEN c.first_ms AND c.last_ms
)
