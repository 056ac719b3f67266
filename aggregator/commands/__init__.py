"""Verbs of `rengo coordinator`, by what they are about; those about members and plans are in aggregator/cli.py."""
