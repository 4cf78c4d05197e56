"""Bounding boxes: annotations, an index of them, reflection, PASCAL VOC's XML."""
