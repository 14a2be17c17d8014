-- Parts of the table that have no stamps yet: written before it had them, and not taken up by the background since.
SELECT count() AS parts
FROM system.parts
WHERE active
  AND rows > 0
  AND database = currentDatabase()
  AND table = 'events'
  AND NOT has(projections, 'stamps')
