"""Clusters on EMR and the nights on them: sizes, steps, cost.

It must not know Spark's code, rows or pictures; no other wing calls EMR.
Start with night.py for the steps, sizes.py for what each is given.
"""
