"""The paper's tables, charts and W&B pages from finished runs."""
