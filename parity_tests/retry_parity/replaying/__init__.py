"""Recorded traffic through two implementations, at full speed, and the evidence of it."""
