"""How much the parity suite notices: single faults of the candidate, and alarms without a fault.

Needs a checkout of the repository, cargo, and cargo-mutants; `make detection` arranges them.
"""
