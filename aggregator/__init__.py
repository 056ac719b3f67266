"""The coordinator: runs rounds, keeps the adapter, and learns only sums."""
