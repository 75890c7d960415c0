"""What runs within the sandbox: the standard library only, as nothing else is there."""
