"""Which words are nearest to a picture, and which pictures to a query: products, faiss shards, queries.

It must not know pixels, networks or Spark.
Start with zeroshot.py for labels, grammar.py for queries, searcher.py for answers.
"""
