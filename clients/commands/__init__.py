"""The verbs of `rengo member`, by what they are about."""
