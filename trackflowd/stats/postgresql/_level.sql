-- Part: one step of a funnel. began_N is when the way that reached step N with this event began, or NULL.
level_{{step}} AS
(
    SELECT *, CASE WHEN match_{{step}} AND ms - way_{{step}} <= {window_ms:Int64} THEN way_{{step}} END AS began_{{step}}
    FROM
    (
        SELECT
            *,
            max(began_{{before}}) OVER
                (PARTITION BY visitor ORDER BY ms RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS way_{{step}}
        FROM level_{{before}}
    ) AS w
)
