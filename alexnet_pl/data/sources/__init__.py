"""Readers of every form in which ImageNet is distributed, with one kind of listing."""
