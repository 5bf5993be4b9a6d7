SELECT a, b AS second, third = c, d fourth INTO o FROM i TIMESTAMP BY t
