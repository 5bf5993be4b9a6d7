SELECT a AS 'my name', b AS 'it''s' INTO o FROM i TIMESTAMP BY t
