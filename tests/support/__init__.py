"""Loopback servers that tests use instead of the network."""
