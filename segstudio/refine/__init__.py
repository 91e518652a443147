"""Dense CRF: parameters, the energy, and the engines that minimise it. No torch."""
