"""The picture book: drawn pictures, their nouns and word vectors; what `make demo` runs on.

It must not know how anything is computed: it draws, and starts a night like any user.
Start with book.py for the pictures, demo.py for the night.
"""
