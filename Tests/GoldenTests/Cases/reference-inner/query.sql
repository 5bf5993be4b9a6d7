SELECT s.id, s.v, limits.high INTO o FROM i s TIMESTAMP BY t JOIN limits ON s.id = limits.id WHERE s.v > limits.high
