"""Throughput of every stage of training, beside its roofline and beside other programs (`bench`)."""
