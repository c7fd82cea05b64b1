"""Package snapshots."""
