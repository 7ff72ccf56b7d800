CREATE OR REPLACE VIEW mart.active_users AS
SELECT u.user_id, u.country, count(s.session_id) AS sessions
FROM raw.users AS u
JOIN mart.sessions AS s ON s.user_id = u.user_id
GROUP BY u.user_id, u.country;
