"""The losses, one module a field: the table of contents of the catalogue."""
