"""The Helm chart: what it renders, and that what it renders runs."""
