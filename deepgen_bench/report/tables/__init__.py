"""Tables: their cells and notes, written as CSV, Markdown, LaTeX and text."""
