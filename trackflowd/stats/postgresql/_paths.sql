-- Part: as _visits; entry and exit are the paths of a visit's first and last page view; of several at the same
-- millisecond, the first (exit: the last) as texts are ordered.
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
        (array_agg(n.path ORDER BY n.ms, n.path) FILTER (WHERE n.kind = 1))[1] AS entry,
        (array_agg(n.path ORDER BY n.ms DESC, n.path DESC) FILTER (WHERE n.kind = 1))[1] AS exit
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
                    path,
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
