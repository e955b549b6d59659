"""What the domain keeps in Django's cache: the keys, reading through it, and forgetting after a commit."""
