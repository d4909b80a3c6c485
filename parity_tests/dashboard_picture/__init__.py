"""Draws the dashboard from a real Prometheus, for the documentation."""
