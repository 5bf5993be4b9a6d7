SELECT a.*, b.y INTO o FROM l a TIMESTAMP BY t JOIN r b TIMESTAMP BY t ON a.id = b.id AND DATEDIFF(second, a, b) = 0
