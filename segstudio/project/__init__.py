"""The store: a project folder with one SQLite file, one thread that talks to it, and a lock against a second window."""
