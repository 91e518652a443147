"""Networks: cards, families, checkpoints and prediction. Only modules that need torch import it."""
