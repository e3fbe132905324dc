"""The terminal debugger: a table of commands, a display, a loop that reads lines."""
