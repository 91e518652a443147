"""Networks, refinement and training in processes of their own, and how the window talks to them."""
