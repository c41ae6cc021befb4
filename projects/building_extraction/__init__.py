"""Building extraction from off-nadir aerial images; names no network."""
