"""Speed and memory that can be checked: a light page server, rivals, and the figures."""
