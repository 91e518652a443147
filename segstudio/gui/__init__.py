"""The window: Qt widgets over the services; nothing below this package imports Qt."""
