"""Classification trunks the families are built on."""
