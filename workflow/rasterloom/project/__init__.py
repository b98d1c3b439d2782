"""Configuration and data set together: which scenes are registered, stacked, trained on, predicted and scored."""
