"""What learns and predicts: networks, models per pixel, sampling, training and inference."""
