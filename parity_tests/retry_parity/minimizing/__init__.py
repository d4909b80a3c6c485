"""From a divergence to a test: find it, shrink it, take out what it does not need, write it."""
