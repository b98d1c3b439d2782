"""Registration: where the pixels of each sensor of a scene lie on its reference."""
