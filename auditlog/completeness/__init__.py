"""What proves that nothing is missing: the baseline of existing rows, the coverage of write paths, bypassed writes."""
