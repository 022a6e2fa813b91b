"""The choices that a training offers, by name. Without torch, so that the command line can list them at once."""

from __future__ import annotations

from typing import Literal

Precision = Literal["32", "bf16-mixed", "16-mixed"]
"""The arithmetic of a step: float32, or mixed with bfloat16 or float16; weights stay in float32."""

Schedule = Literal["constant", "cosine", "linear"]
"""How the learning rate falls after warm-up: not at all, along half a cosine, or along a line; the last two reach 0."""

RunSchedule = Literal["constant", "cosine", "linear", "plateau"]
"""The schedules of a run: also a rate that falls when the monitored metrics stop improving."""

TableOptimizer = Literal["adam", "rowwise_adagrad", "sparse_adam"]
"""What trains the tables of inputs."""

Tracker = Literal["csv", "tensorboard", "wandb", "mlflow"]
"""Where losses and metrics are logged while a run trains."""
