"""Data sets of labelled pictures in ultralytics YOLO format: made, read and checked."""
