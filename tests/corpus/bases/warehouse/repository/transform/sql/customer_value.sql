CREATE OR REPLACE VIEW customer_value AS
SELECT c.customer_id, c.country, sum(t.net) AS lifetime_value
FROM customers AS c
JOIN order_totals AS t ON t.customer_id = c.customer_id
GROUP BY c.customer_id, c.country;
