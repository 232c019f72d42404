"""What a person looks at: contact sheets, and the answers of the terminal.

It must not know Spark; nothing but the command line and the sample knows it.
Start with terminal.py.
"""
