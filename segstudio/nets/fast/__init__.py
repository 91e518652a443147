"""The fast forward pass: batch normalisation folded, activations fused, weights packed, in the device's best format."""
