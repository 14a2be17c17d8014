-- Part: the first step of a funnel.
level_1 AS
(
    SELECT *, if(match_1, ms, NULL) AS began_1
    FROM level_0
)
