"""What every config costs, beside what was published."""
