"""What makes a model and says how good it is: labelled sets, losses, training, metrics, evaluation.

It must not know tables, runs or Spark.
Start with fitting.py for training, evaluation.py for figures.
"""
