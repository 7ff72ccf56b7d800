SELECT customer, avg(CASE WHEN country <> 'DE' THEN 1.0 ELSE 0.0 END) AS foreign_share
FROM payments
GROUP BY customer
