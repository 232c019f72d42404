"""What makes an output exist and be live: manifests, the pointer, the lease, upkeep, verification, status.

It must not know columns, rows or what a job computes.
Start with manifest.py, then pointer.py.
"""
