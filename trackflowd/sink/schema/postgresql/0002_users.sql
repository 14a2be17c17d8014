-- A user's events: to show, export and erase them. Only events that name a user are in it; most name none.
CREATE INDEX IF NOT EXISTS facts_user ON facts (user_id) WHERE user_id <> '';

-- Batches that landed lately: looked at before a row of a dimension that seems unused is deleted.
CREATE INDEX IF NOT EXISTS batches_at ON batches (at);
