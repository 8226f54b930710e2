"""The local server of the preview and the emulator, with a guard for Host and Origin."""
