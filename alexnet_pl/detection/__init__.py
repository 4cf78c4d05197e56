"""OverFeat's localisation and detection: box regression, merging, and how both are evaluated (Sermanet et al. 2013)."""
