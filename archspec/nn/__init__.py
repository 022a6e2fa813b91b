"""The torch pieces that emitted files need. Their source is copied into each emitted file, which then needs only torch.

Lives here: functions on tensors, the methods of every compiled module. May not know specs, graphs or programs.
"""
