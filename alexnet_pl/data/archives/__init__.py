"""Where the bytes of an image lie: tar, zip, gzip, Parquet."""
