"""What a person looks at: contact sheets, the night's page, cards, the explorer, and the answers of the terminal.

It must not know Spark or how anything is computed: it shows what is handed to it, or what is published.
Start with terminal.py; explorer/ is what `devise serve` serves, nightly/ the night's page.
"""
