"""The only package that imports pyspark; what can be thought without a cluster lives in `devise` itself."""
