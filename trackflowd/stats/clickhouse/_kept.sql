-- Part: events of the period that pass the filters; ms is when they happened.
kept AS
(
    SELECT *, toUnixTimestamp64Milli(time) AS ms
    FROM events
    WHERE {{period}}
      AND {{filters}}
)
