"""The one translation: the same messages give the same pixels in training, replay and live."""
