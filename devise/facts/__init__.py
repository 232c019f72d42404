"""Facts that are shipped: WordNet 3.0's nouns, their vectors, ImageNet's classes, what is never told, and their makers.

It must not know files of the user's, tables or pictures: it names files of the package.
Start with shipped.py for the names, make_facts.py for where they come from.
"""
