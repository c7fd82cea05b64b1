"""Package scan."""
