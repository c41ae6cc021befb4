"""Networks for one's own latency budget, processor and data."""
