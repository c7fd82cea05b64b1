"""Package aws."""
