"""What vfiokit costs, side by side with the bare thing, in one run."""
