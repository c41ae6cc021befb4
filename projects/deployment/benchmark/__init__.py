"""How fast models are, side by side, and what the papers claim."""
