"""What make_vectors.py writes beside the single parts."""
