-- Part: visits that began in the period, whole, of which an event passes the filters. A visit is a visitor's events
-- with less than 30 minutes between one and the next. label is that of its first event; of several at the same
-- millisecond, the first as texts are ordered that is not empty.
visits AS
(
    SELECT
        n.visitor,
        min(n.ms) AS first_ms,
        max(n.ms) AS last_ms,
        count(*) FILTER (WHERE n.kind = 1) AS views,
        count(*) FILTER (WHERE n.kind = 2) AS others,
        CASE WHEN count(*) FILTER (WHERE n.kind = 1) = 1 AND count(*) FILTER (WHERE n.kind = 2) = 0 THEN 1 ELSE 0 END
            AS bounce,
        (array_agg(n.label ORDER BY n.ms, n.label = '', n.label))[1] AS label
    FROM
    (
        SELECT g.*, sum(g.new) OVER (PARTITION BY g.visitor ORDER BY g.ms) AS visit
        FROM
        (
            SELECT
                e.*,
                CASE WHEN e.ms - lag(e.ms) OVER (PARTITION BY e.visitor ORDER BY e.ms) < 1800000 THEN 0 ELSE 1 END
                    AS new
            FROM
            (
                SELECT
                    visitor,
                    (extract(epoch FROM time) * 1000)::bigint AS ms,
                    {{label}} AS label,
                    CASE name WHEN 'pageview' THEN 1 WHEN 'leave' THEN 0 ELSE 2 END AS kind,
                    {{filters}} AS passes,
                    {{begin}} AS begins
                FROM counted
                WHERE {{read}}
            ) AS e
        ) AS g
    ) AS n
    GROUP BY n.visitor, n.visit
    HAVING min(n.ms) >= {start_ms:Int64}
       AND bool_or(n.passes)
       AND min(n.ms) FILTER (WHERE n.begins) = min(n.ms)
)
