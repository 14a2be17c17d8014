-- Part: as _kept, and the event is of a visit that began as the filters on sources say.
chosen AS
(
    SELECT n.visitor, min(n.ms) AS first_ms, max(n.ms) AS last_ms
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
                SELECT visitor, (extract(epoch FROM time) * 1000)::bigint AS ms, {{begin}} AS begins
                FROM counted
                WHERE {{read}}
            ) AS e
        ) AS g
    ) AS n
    GROUP BY n.visitor, n.visit
    HAVING min(n.ms) FILTER (WHERE n.begins) = min(n.ms)
),
kept AS
(
    SELECT e.*
    FROM
    (
        SELECT *, (extract(epoch FROM time) * 1000)::bigint AS ms
        FROM counted
        WHERE {{period}}
          AND {{filters}}
    ) AS e
    INNER JOIN chosen AS c ON e.visitor = c.visitor
    WHERE e.ms BETWEEN c.first_ms AND c.last_ms
)
