"""Data: turns tables in Parquet, CSV and Feather files into the batches that a spec reads.

This package determines the columns that a spec requires, encodes values as ids and numbers, reports values that do not
fit, and draws batches from encoded rows on disk. It requires pyarrow. It must not know models or training.
"""
