"""What the hybrid does that nobody would guess: one test for each of its rules."""
