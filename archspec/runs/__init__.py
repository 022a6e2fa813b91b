"""Runs: a spec and tables of data become a folder with a trained model, and that folder becomes a model again.

Lives here: how a run trains (recipe, training loop, checkpoints), its folder and who may write to it, and `load_run`.
Uses the Lightning adapter and the encoded data, so it requires the extra `train`. May not know the command line.
"""
