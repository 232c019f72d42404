"""Word vectors, nouns, synsets and class names, and the vocabulary that is made of them.

It must not know pictures, tables or where files lie: it is handed local paths.
Start with vocabulary.py; coverage.py makes one.
"""
