"""Bytes through, nothing else."""
