SELECT s.*, System.Timestamp() AS at INTO o FROM i s TIMESTAMP BY t
