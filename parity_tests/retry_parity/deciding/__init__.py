"""From evidence to a decision: reading and adding up runs, verdict, certificate, report."""
