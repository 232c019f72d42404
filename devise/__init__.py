"""Zero-shot labels for a whole image corpus: the library; importing it imports nothing heavy."""

__version__ = "0.1.0"
