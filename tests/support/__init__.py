"""Loopback servers that the tests talk to in place of the outside world."""
