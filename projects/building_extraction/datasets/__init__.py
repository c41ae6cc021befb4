"""Building data sets: on-disk formats and their conversion."""
