"""Training: reads a frozen run folder, never the project, and hands back weights only if they beat the ones in use."""
