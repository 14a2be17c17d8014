-- The client's address, for sites that have it stored (``store_ip``); empty for all others, which takes next to nothing.
ALTER TABLE events ADD COLUMN IF NOT EXISTS ip String CODEC(ZSTD(1));
