"""A member's site: what runs next to the data, and all that does."""
