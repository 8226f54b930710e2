"""Free drafts: the words of a prompt, typeset on this machine."""
