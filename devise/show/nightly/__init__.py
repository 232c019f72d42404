"""The night's page: one HTML file that tells what a night did, how good it is and what changed, with pictures.

It is handed what it shows (facts.py), and computes none of it. Start with page.py.
"""
