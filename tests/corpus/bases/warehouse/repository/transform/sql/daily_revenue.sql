CREATE OR REPLACE VIEW daily_revenue AS
SELECT day, sum(net) AS revenue, count(order_id) AS orders
FROM order_totals
GROUP BY day;
