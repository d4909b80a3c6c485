"""The real gateway with the migration plugin in it: what `make gateway` and its tests start."""
