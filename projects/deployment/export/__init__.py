"""A trained model as a file that was seen to say the same."""
