"""Readers of archives without unpacking them: tar, zip, gzip, Parquet, Arrow, TFRecord."""
