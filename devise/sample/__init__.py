"""The drawn picture book and its word vectors, which the demo and the tests run on; no data from outside is needed."""
