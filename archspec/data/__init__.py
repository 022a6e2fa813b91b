"""Data: from tables in Parquet, CSV and Feather files to the batches that a spec reads.

Lives here: what a spec asks of a table, how values become ids and numbers, where they do not fit, and the encoded rows
on disk from which batches are drawn. Needs pyarrow. May not know models, nor how they are trained.
"""
