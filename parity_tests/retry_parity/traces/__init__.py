"""Recorded and synthetic traffic: formats, reading in columns, recording in the gateway."""
