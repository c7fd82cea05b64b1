"""Promises of extraction under scale, faults, many threads and throttling, proved by real runs over the wire."""
