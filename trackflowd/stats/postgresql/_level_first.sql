-- Part: the first step of a funnel.
level_1 AS
(
    SELECT *, CASE WHEN match_1 THEN ms END AS began_1
    FROM level_0
)
