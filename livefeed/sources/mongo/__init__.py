"""``mongodb://``, a document or a query's result in MongoDB. It needs the extra ``mongo``, which has pymongo."""
