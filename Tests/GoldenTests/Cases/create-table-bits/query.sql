CREATE TABLE i (t datetime, b bit); SELECT b, GetType(b) AS g INTO o FROM i TIMESTAMP BY t
