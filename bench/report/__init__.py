"""Documents of runs: read, drawn as a page, written as Markdown, compared."""
