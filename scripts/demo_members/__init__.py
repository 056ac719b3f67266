"""Parts of build_demo_members.py: where the material comes from, what becomes of it, and how it is laid out."""
