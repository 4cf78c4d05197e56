"""OverFeat (Sermanet et al. 2013), localisation and detection: box regression, merging of boxes, evaluation."""
