"""Figures of merit of predictions against labels, and the reports that show them."""
