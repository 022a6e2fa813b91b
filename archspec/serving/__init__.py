"""Serving: a model as files for other programs (ONNX, torch.export, AOTInductor), with its encoding as JSON.

This package writes those files and checks them against the model. It requires the extra `serve` for ONNX, and a C++
compiler for AOTInductor. `score.py` is copied beside a model: it needs only numpy and onnxruntime.
"""
