"""What a person looks at: contact sheets, pages, the model card, and the answers of the terminal.

It must not know Spark, tables or how anything is computed: it is handed what it shows.
Start with terminal.py.
"""
