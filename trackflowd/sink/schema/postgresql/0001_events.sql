-- Events: one row each in facts, what repeats in dimensions, all of it together in the view events, which has the
-- columns of event.FIELDS in order (a test holds them equal).
--
-- key: first 16 bytes of BLAKE2b over the fields of the row; pg_tables says why. Uniqueness of the fields is that of
-- the key.
-- COLLATE "C": texts are ordered by their bytes, as ClickHouse does, whatever the database's locale is.
CREATE TABLE IF NOT EXISTS sites
(
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key uuid NOT NULL UNIQUE,
    site text COLLATE "C" NOT NULL
);

CREATE TABLE IF NOT EXISTS pages
(
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key uuid NOT NULL UNIQUE,
    url text COLLATE "C" NOT NULL,
    hostname text COLLATE "C" NOT NULL,
    path text COLLATE "C" NOT NULL,
    query text COLLATE "C" NOT NULL,
    title text COLLATE "C" NOT NULL
);

CREATE TABLE IF NOT EXISTS referrers
(
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key uuid NOT NULL UNIQUE,
    referrer text COLLATE "C" NOT NULL,
    referrer_host text COLLATE "C" NOT NULL
);

CREATE TABLE IF NOT EXISTS campaigns
(
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key uuid NOT NULL UNIQUE,
    source text COLLATE "C" NOT NULL,
    medium text COLLATE "C" NOT NULL,
    channel text COLLATE "C" NOT NULL,
    click_id text COLLATE "C" NOT NULL,
    utm_source text COLLATE "C" NOT NULL,
    utm_medium text COLLATE "C" NOT NULL,
    utm_campaign text COLLATE "C" NOT NULL,
    utm_term text COLLATE "C" NOT NULL,
    utm_content text COLLATE "C" NOT NULL
);

CREATE TABLE IF NOT EXISTS agents
(
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key uuid NOT NULL UNIQUE,
    browser text COLLATE "C" NOT NULL,
    browser_version text COLLATE "C" NOT NULL,
    os text COLLATE "C" NOT NULL,
    os_version text COLLATE "C" NOT NULL,
    device text COLLATE "C" NOT NULL,
    bot text COLLATE "C" NOT NULL
);

CREATE TABLE IF NOT EXISTS places
(
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key uuid NOT NULL UNIQUE,
    country text COLLATE "C" NOT NULL,
    region text COLLATE "C" NOT NULL,
    city text COLLATE "C" NOT NULL,
    asn bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS clients
(
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key uuid NOT NULL UNIQUE,
    language text COLLATE "C" NOT NULL,
    timezone text COLLATE "C" NOT NULL,
    screen text COLLATE "C" NOT NULL,
    viewport text COLLATE "C" NOT NULL
);

-- A batch that landed, written in the transaction of its facts: whoever sends it again finds it here.
CREATE TABLE IF NOT EXISTS batches
(
    id uuid PRIMARY KEY,
    month integer NOT NULL,
    rows integer NOT NULL,
    attempt integer NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

-- No foreign keys to the dimensions: their rows are deleted only when unused, by one who makes sure (pg_edit), and a
-- check per row and dimension costs more than the row. Columns of eight bytes come first, so that none is padded.
CREATE TABLE IF NOT EXISTS facts
(
    received timestamptz NOT NULL,
    time timestamptz NOT NULL,
    visitor bigint NOT NULL,
    engaged_ms bigint NOT NULL,
    site_id bigint NOT NULL,
    page_id bigint NOT NULL,
    referrer_id bigint NOT NULL,
    campaign_id bigint NOT NULL,
    agent_id bigint NOT NULL,
    place_id bigint NOT NULL,
    client_id bigint NOT NULL,
    event_id uuid NOT NULL,
    _batch uuid NOT NULL,
    scroll smallint NOT NULL,
    revenue numeric(18, 4) NOT NULL,
    name text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    session text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    dialect text COLLATE "C" NOT NULL,
    props jsonb NOT NULL
)
PARTITION BY RANGE (received);

-- Takes what has no partition of its month; normally empty, since months are made ahead.
CREATE TABLE IF NOT EXISTS facts_default PARTITION OF facts DEFAULT;

CREATE INDEX IF NOT EXISTS facts_site_time ON facts (site_id, time);

CREATE INDEX IF NOT EXISTS facts_event_id ON facts (event_id);

-- One entry of many rows a batch (some 6 bytes a row), always at the index's end. Not BRIN: what autovacuum has not
-- summarised yet is read row by row, and so is all of it by a planner that knows no better; a doubt could not be settled.
CREATE INDEX IF NOT EXISTS facts_batch ON facts (_batch);

-- LEFT JOIN: a dimension that a query does not name is not read. (No fact is without one.)
CREATE OR REPLACE VIEW events AS
SELECT
    s.site,
    f.event_id,
    f.name,
    f.received,
    f.time,
    p.url,
    p.hostname,
    p.path,
    p.query,
    p.title,
    r.referrer,
    r.referrer_host,
    c.source,
    c.medium,
    c.channel,
    c.utm_source,
    c.utm_medium,
    c.utm_campaign,
    c.utm_term,
    c.utm_content,
    c.click_id,
    (f.visitor + CASE WHEN f.visitor < 0 THEN 18446744073709551616 ELSE 0::numeric END)::numeric(20) AS visitor,
    f.user_id,
    f.session,
    l.country,
    l.region,
    l.city,
    l.asn,
    a.browser,
    a.browser_version,
    a.os,
    a.os_version,
    a.device,
    a.bot,
    n.language,
    n.timezone,
    n.screen,
    n.viewport,
    f.engaged_ms,
    f.scroll,
    f.revenue,
    f.currency,
    f.props,
    f.dialect,
    f._batch
FROM facts f
LEFT JOIN sites s ON s.id = f.site_id
LEFT JOIN pages p ON p.id = f.page_id
LEFT JOIN referrers r ON r.id = f.referrer_id
LEFT JOIN campaigns c ON c.id = f.campaign_id
LEFT JOIN agents a ON a.id = f.agent_id
LEFT JOIN places l ON l.id = f.place_id
LEFT JOIN clients n ON n.id = f.client_id;
