-- Visitors who took the first so many steps in order, each later than the one before, the last within the window from
-- the first. Of several ways to have come to a step the one that began last is kept: it leaves the most time.
WITH {{kept}},
level_0 AS
(
    SELECT visitor, ms, {{matches}}
    FROM kept
    WHERE name <> 'leave'
),
{{levels}}
SELECT {{reached}}
FROM
(
    SELECT visitor, {{latest}}
    FROM {{last}}
    GROUP BY visitor
) AS r
