SELECT customer, count(DISTINCT device) AS devices
FROM payments
GROUP BY customer
