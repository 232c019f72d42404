"""The only wing that imports pyspark: frame/ is what every job stands in, stages/ what each one computes.

It must not do what arrays alone can do: that is in the other wings.
Start with frame/job.py, then stages/embed.py.
"""
