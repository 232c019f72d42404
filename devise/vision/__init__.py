"""Encoded bytes to pixels to an embedding: decoding, networks, the model, the engine that runs them.

It must not know words, tables or Spark.
Start with engine.py; outcomes.py is what it gives back.
"""
