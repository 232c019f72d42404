"""What every job stands in: command line, session, inputs and commit, tables and columns, faults, metering.

It must not know what a job computes.
Start with job.py.
"""
