"""Bounding boxes: annotations, an index of them, cropping and resizing, PASCAL VOC's XML."""
