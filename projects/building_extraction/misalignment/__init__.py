"""How far labels lie from buildings as seen: measured from labels, masks or predictions."""
