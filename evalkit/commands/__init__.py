"""What each command of `evalkit` takes and prints, one file a command."""
