"""The command line: one module per command, all on the services the window uses."""
