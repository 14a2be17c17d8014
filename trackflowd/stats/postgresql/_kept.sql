-- Part: events of the period that pass the filters; ms is when they happened.
kept AS
(
    SELECT *, (extract(epoch FROM time) * 1000)::bigint AS ms
    FROM counted
    WHERE {{period}}
      AND {{filters}}
)
