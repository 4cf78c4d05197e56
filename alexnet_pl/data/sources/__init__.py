"""Every form of ImageNet that people own, listed alike."""
