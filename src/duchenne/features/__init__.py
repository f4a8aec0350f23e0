"""Hand-made image features: NumPy in, NumPy out."""
