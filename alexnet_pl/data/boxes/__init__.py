"""Bounding boxes: what an annotation says, how boxes follow an image, VOC's XML."""
