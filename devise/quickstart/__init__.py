"""The first hour with one's own pictures: the starter kit, a labelled folder, a config, and what would fail in a night.

It must not import Spark; a night that it starts is the job's own.
Start with label.py.
"""
