-- A sender that may have sent an event before says so (attempt > 0); an id too old for the window of ids is then
-- looked up here. Without an index that reads every event id of the site.
-- Four granules share a filter: a lookup reads at most 4 x 8192 ids for one that is there, and one in a hundred
-- of the others for one that is not.
ALTER TABLE events ADD INDEX IF NOT EXISTS event_id_bloom event_id TYPE bloom_filter(0.01) GRANULARITY 4;

-- For the rows that are there already; runs in the background.
ALTER TABLE events MATERIALIZE INDEX event_id_bloom SETTINGS mutations_sync = 0;
