"""The torch code that emitted files need. Its source is copied into each emitted file, which then needs only torch.

This package contains functions on tensors and the methods of every compiled module. It must not know specs, graphs or
programs.
"""
