"""The commands: options, names of files, messages, exit codes."""
