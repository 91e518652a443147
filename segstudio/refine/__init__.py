"""Dense CRF: parameters, the energy, and the engines that minimise it. Only the torch engine loads torch."""
