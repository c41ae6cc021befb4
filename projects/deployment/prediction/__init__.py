"""Predictions on images, folders of them, and videos: overlays, masks, COCO files."""
