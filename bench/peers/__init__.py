"""
Other libraries, measured beside ours: django-auditlog and django-pghistory.

They have an interpreter of their own, `.venv-peers`, because one of them is called `auditlog` too, and a database of
their own on the same server. Nothing here may import what imports our `auditlog`.
"""
