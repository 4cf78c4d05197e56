"""Every number of the paper as data, and which run answers which."""
