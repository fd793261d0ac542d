"""What a loss is: its options, its families, the way of a call, sums and the catalogue."""
