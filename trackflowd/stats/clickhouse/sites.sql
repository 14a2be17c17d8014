-- Sites there are.
SELECT DISTINCT site FROM events ORDER BY site
