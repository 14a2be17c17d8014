-- Numbers of a period, in one reading of few columns. In es an event of the visitor is one number,
-- ms * 8 + (2 page view, 4 event of one's own, 0 leave) + 1 if it passes the filters: sorting numbers is cheap.
SELECT{{day}}
    countIf(v.passed > 0) AS visitors,
    sum(length(v.begun)) AS visits,
    sum(v.viewed) AS views,
    sum(v.others) AS events,
    sum(arrayCount(
        visit -> arrayCount(e -> bitTest(e, 1), visit) = 1 AND NOT arrayExists(e -> bitTest(e, 2), visit), v.begun
    )) AS bounces,
    sum(arraySum(visit -> bitShiftRight(visit[-1], 3) - bitShiftRight(visit[1], 3), v.begun)) AS visit_ms,
    sum(v.engaged) AS engaged_ms
FROM
(
    SELECT
        e.visitor,
        e.passed,
        e.viewed,
        e.others,
        e.engaged,
        arrayFilter(
            visit -> bitShiftRight(visit[1], 3) >= {start_ms:Int64} AND arrayExists(e -> bitTest(e, 0), visit),
            arraySplit((e, gap) -> gap >= 1800000, es, arrayDifference(arrayMap(e -> bitShiftRight(e, 3), es)))
        ) AS begun
    FROM
    (
        SELECT
            visitor,
            countIf(inside AND passes) AS passed,
            countIf(inside AND passes AND name = 'pageview') AS viewed,
            countIf(inside AND passes AND name NOT IN ('pageview', 'leave')) AS others,
            sumIf(engaged_ms, inside AND passes) AS engaged,
            arraySort(groupArray(
                ms * 8 + multiIf(name = 'pageview', 2, name = 'leave', 0, 4) + passes
            )) AS es
        FROM
        (
            SELECT
                visitor,
                name,
                engaged_ms,
                toUnixTimestamp64Milli(time) AS ms,
                ms >= {start_ms:Int64} AS inside,
                toUInt8({{filters}}) AS passes
            FROM events
            WHERE {{read}}
        )
        GROUP BY visitor
    ) AS e
) AS v{{group_by_day}}
