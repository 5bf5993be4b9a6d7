-- watermark-over: d
-- idle-after: unlimited
SELECT l.d, l.v AS lv, r.v AS rv INTO o FROM l TIMESTAMP BY t LEFT JOIN r TIMESTAMP BY t ON l.d = r.d AND DATEDIFF(second, l, r) BETWEEN 0 AND 5
