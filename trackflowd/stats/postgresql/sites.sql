-- Sites there are; one whose events were all deleted is still among them.
SELECT DISTINCT site FROM sites ORDER BY site
