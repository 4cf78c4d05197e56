"""Pages of the documentation that come from the code and from kept results; scripts/reference.py writes them."""
