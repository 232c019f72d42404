"""The first hour of a new user: a config written for a corpus, and a look at all that would stop its night.

It must not compute what a night does, or start Spark: it looks, and tells what to do.
Start with init.py; look.py is what it and check.py see.
"""
