"""Tests of passes: each rewrites, refuses with a reason, keeps outputs and gradients, verifies, and is idempotent."""
