"""The explorer: what is published, looked at in a browser.

Start with app.py for the routes, corpus.py for what answers. It serves one warehouse, reads and never writes, and
follows its live pointer.
"""
