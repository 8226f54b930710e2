"""A loopback server with a Host and Origin guard, for the preview and the emulator."""
