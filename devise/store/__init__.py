"""Bytes and files at file:// and s3://, what they cost in requests, listings, and local copies of what is far away.

It must not know tables, runs, pictures or words; no other wing knows a scheme or boto3.
Start with storage.py: everything else is below it or listed by it.
"""
