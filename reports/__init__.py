"""What the results say: a page, LaTeX tables, CSV and figures, all from stored files and without torch."""
