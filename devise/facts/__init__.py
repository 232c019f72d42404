"""Facts that are shipped: WordNet 3.0's nouns, their word vectors, the 1,000 classes of ImageNet, what is never told, and their makers.

It must not know files of the user's, tables or pictures: it names files of the package.
Start with shipped.py for the names, make_facts.py for where they come from.
"""
