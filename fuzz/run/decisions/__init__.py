"""The target `decisions`: the shim against the hybrid. It goes with the migration rooms."""
