"""Training: the loss that a spec describes, how task losses are balanced, and which parameters belong together.

This package turns logits and labels into one loss, and contains what a training loop needs to know about a compiled
model. It works on any compiled model, plain or fused, by canonical names. It must not know the compiler, or any kind by
name.
"""
