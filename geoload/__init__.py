"""Reads TAR files, pictures and the Hub for the data sets, and registers their builders."""

__version__ = "0.1.0"
