"""Processes of a real consortium, killed at named moments of the protocol; see scripts/kill_matrix.py."""
