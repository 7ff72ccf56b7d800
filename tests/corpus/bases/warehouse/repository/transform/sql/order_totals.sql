-- What an order is worth, without what was cancelled.
CREATE OR REPLACE VIEW order_totals AS
SELECT
    order_id,
    customer_id,
    amount - discount AS net,
    CAST(placed_at AS DATE) AS day
FROM orders
WHERE status <> 'cancelled';
