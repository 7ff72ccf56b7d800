CREATE OR REPLACE VIEW mart.sessions AS
SELECT user_id, session_id, min(ts) AS started, count(*) AS events
FROM raw.events
GROUP BY user_id, session_id;
