"""The VMM's side: VM and migration states, the stream, config state, guest memory, the migration loop.

====================== ==========================================================================
module                 holds
====================== ==========================================================================
`states`               run states, the legal triples (VM, migration, device) as a table
`vm`                   a VM: its devices and RAM, start, stop, status, notifiers
`outgoing`             the migration loop of the source, with its cancel and failure paths
`incoming`             the destination
`snapshot`             a stopped VM's devices into a file, and the look at a device's state
`sections`             the framing of the stream, written and read
`pci_config_state`     a PCI device's config state: save and load
`ram`, `memory`        RAM as a handler; guest memory and its dirty log
`log_sync`             the devices' dirty pages, gathered for RAM
====================== ==========================================================================
"""
