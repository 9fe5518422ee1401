"""What groups are worth: boundary figures, tables, plots."""
