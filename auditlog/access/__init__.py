"""Who may see what of the audit log: scopes, grants, rights of a caller, redaction, and the second wall."""
