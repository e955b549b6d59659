"""Proof that tests of invariants can fail: mechanisms switched off, one at a time, and the tests that must notice."""
