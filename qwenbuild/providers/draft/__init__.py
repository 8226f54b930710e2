"""Free drafts: images drawn on this machine that show the texts and colours of a prompt."""
