"""Tests of passes: each fires, refuses and says why, keeps outputs and gradients, verifies, is done after one run."""
