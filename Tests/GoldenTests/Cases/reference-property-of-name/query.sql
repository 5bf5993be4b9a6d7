SELECT i.id, th.name INTO o FROM i TIMESTAMP BY t JOIN th ON i.id = th.id WHERE GetRecordPropertyValue(i.r, th.name) > th.v
