CREATE OR REPLACE VIEW mart.contacts AS
SELECT user_id, lower(email) AS email
FROM raw.users;
