"""Runs: turns a spec and tables of data into a folder with a trained model, and loads the model from that folder.

This package contains the training of a run (recipe, training loop, checkpoints), its folder and lock, and `load_run`.
It uses the Lightning adapter and the encoded data, so it requires the extra `train`. It must not know the command line.
"""
