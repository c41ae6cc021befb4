"""What networks take on this machine: measured from exported files, or predicted from a table of their parts."""
