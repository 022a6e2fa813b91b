"""Training: the loss that a spec describes, how task losses are balanced, and which parameters belong together.

Lives here: what turns logits and labels into one loss, and what a training loop asks of a compiled model. It works on
any compiled model by canonical names, plain or fused. May not know the compiler, nor any kind by name.
"""
