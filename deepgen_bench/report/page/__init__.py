"""The HTML page: its contents in order, and the file."""
