"""The commands that prove completeness: baseline, coverage of write paths, bypassed writes."""
