"""The first hour with one's own pictures: a labelled folder, the starter kit, a config, what would stop a night.

It must not import Spark, or compute what a night does not; a night that it starts is the job's own.
Start with label.py, and with init.py; look.py is what init.py and check.py see.
"""
