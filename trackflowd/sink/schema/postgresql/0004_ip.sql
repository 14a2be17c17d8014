-- The client's address, for sites that have it stored (``store_ip``); empty for all others. A column with a constant
-- default is added without a rewrite of the table.
ALTER TABLE facts ADD COLUMN IF NOT EXISTS ip text COLLATE "C" NOT NULL DEFAULT '';

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
    f._batch,
    f.ip
FROM facts f
LEFT JOIN sites s ON s.id = f.site_id
LEFT JOIN pages p ON p.id = f.page_id
LEFT JOIN referrers r ON r.id = f.referrer_id
LEFT JOIN campaigns c ON c.id = f.campaign_id
LEFT JOIN agents a ON a.id = f.agent_id
LEFT JOIN places l ON l.id = f.place_id
LEFT JOIN clients n ON n.id = f.client_id;

CREATE OR REPLACE VIEW counted AS
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
    f.visitor,
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
    f._batch,
    f.ip
FROM facts f
LEFT JOIN sites s ON s.id = f.site_id
LEFT JOIN pages p ON p.id = f.page_id
LEFT JOIN referrers r ON r.id = f.referrer_id
LEFT JOIN campaigns c ON c.id = f.campaign_id
LEFT JOIN agents a ON a.id = f.agent_id
LEFT JOIN places l ON l.id = f.place_id
LEFT JOIN clients n ON n.id = f.client_id;
