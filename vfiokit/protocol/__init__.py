"""The flows that speak to one device, a package for each interface: `v5` is the posting of July 2019.

A flow is a generator over :mod:`vfiokit.accesses`; it does no I/O, so a test can send it any result.
"""
