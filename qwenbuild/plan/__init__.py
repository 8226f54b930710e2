"""What must happen, and why: every action with a verdict and a reason."""
