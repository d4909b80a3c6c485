"""What the real gateway does with the migration plugin in it; run by `make test-gateway`."""
