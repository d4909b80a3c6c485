"""The report: one account of the evidence, as a page, as Markdown and as JSON."""
