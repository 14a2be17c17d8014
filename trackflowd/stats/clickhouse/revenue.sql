-- Revenue by currency, in 1/10,000 of its unit: exact, and no store writes it in a way of its own.
WITH {{kept}}
SELECT{{day}} currency, count(*) AS orders, count(DISTINCT visitor) AS buyers, toString(toInt128(sum(revenue) * 10000)) AS amount
FROM kept
WHERE revenue <> 0
GROUP BY currency{{by_day}}
ORDER BY orders DESC, buyers DESC, currency
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
