"""Reads, one module for each subject; nothing here writes."""
