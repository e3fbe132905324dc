"""The kernel interfaces and PCI, exactly as the headers have them."""
