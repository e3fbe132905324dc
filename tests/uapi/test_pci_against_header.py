"""The PCI register tables against the compiler's view of <linux/pci_regs.h>."""

from __future__ import annotations

from vfiokit.uapi import pci_bars, pci_caps, pci_ext_caps, pci_regs

HEADER = "linux/pci_regs.h"
# Offsets that the header gives inside a wider register, or for a variant of it.
LAYOUTS = [*pci_caps.CAPABILITIES.values(), *pci_ext_caps.EXTENDED_CAPABILITIES.values()]
TABLES = [
    pci_regs.COMMON_HEADER,
    pci_regs.NORMAL_HEADER,
    pci_regs.BRIDGE_HEADER,
    pci_regs.CARDBUS_HEADER,
    *(layout.registers for layout in LAYOUTS),
]


def named() -> dict[str, int]:
    """Every name of ours that claims to be the header's."""
    names = {f"PCI_CAP_ID_{layout.name}": layout.id for layout in pci_caps.CAPABILITIES.values()} | {
        f"PCI_EXT_CAP_ID_{layout.name}": layout.id for layout in pci_ext_caps.EXTENDED_CAPABILITIES.values()
    }
    for table in TABLES:
        for register in table:
            if register.name.startswith("PCI_"):
                names[register.name] = register.offset
            for field in register.fields:
                if not field.name[0].islower():
                    names[register.prefix + field.name] = field.mask
    for module in (pci_bars, pci_regs, pci_caps, pci_ext_caps):
        names |= {name: value for name, value in vars(module).items() if name.startswith("PCI_")}
    return names


def test_names_and_numbers_are_the_headers(evaluate_c):
    ours = named()
    theirs = evaluate_c(HEADER, list(ours), optional=True)
    # An older header may lack the newest capabilities; it may not lack many.
    assert len(theirs) > 0.97 * len(ours), sorted(set(ours) - set(theirs))
    assert theirs == {name: ours[name] for name in theirs}


def test_every_capability_id_of_the_header_has_a_name(evaluate_c):
    last = evaluate_c(HEADER, ["PCI_CAP_ID_MAX", "PCI_EXT_CAP_ID_MAX"])
    assert last["PCI_CAP_ID_MAX"] <= max(pci_caps.CAPABILITIES)
    assert set(range(1, 0x15)) == set(pci_caps.CAPABILITIES)


def test_registers_do_not_overlap():
    for layout in LAYOUTS:
        for header_type in (0, 1):
            for flags in (0, 0x0002, 0x0142, 0x0180, 0x01A2):
                context = pci_regs.Context(flags, header_type, flags >> 4 & 0xF)
                taken: set[int] = set()
                for register in layout.registers:
                    if register.when is None or register.when(context):
                        bytes_of = set(range(register.offset, register.offset + register.width))
                        assert not bytes_of & taken, (layout.name, register.name)
                        taken |= bytes_of


def test_fields_fit_their_registers():
    for table in TABLES:
        for register in table:
            for field in register.fields:
                assert field.mask < 1 << 8 * register.width, (register.name, field.name)
                run = field.mask >> (field.mask & -field.mask).bit_length() - 1
                assert run & (run + 1) == 0, (register.name, field.name)  # contiguous bits
