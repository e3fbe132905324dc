"""PCI Express extended capabilities, from 0x100 on (``linux/pci_regs.h``, PCI Express base spec, 7.6 on).

Every id the header has is named; the registers are those the header describes. Tables that repeat
(virtual channels, resizable BARs) have their first entry here. Offsets count from the capability.
"""

from __future__ import annotations

from vfiokit.uapi.pci_caps import Layout
from vfiokit.uapi.pci_express import is_root
from vfiokit.uapi.pci_regs import Mask, Register, reg

__all__ = ("EXTENDED_CAPABILITIES", "PCI_EXT_CAP_ID_DSN", "PCI_EXT_CAP_ID_DVSEC", "PCI_EXT_CAP_ID_VNDR")

PCI_EXT_CAP_ID_DSN = 0x03
PCI_EXT_CAP_ID_VNDR = 0x0B
PCI_EXT_CAP_ID_DVSEC = 0x23

_UNCORRECTABLE: dict[str, Mask] = {
    "UND": 0x1,
    "DLP": 0x10,
    "SURPDN": 0x20,
    "POISON_TLP": 0x1000,
    "FCP": 0x2000,
    "COMP_TIME": 0x4000,
    "COMP_ABORT": 0x8000,
    "UNX_COMP": 0x10000,
    "RX_OVER": 0x20000,
    "MALF_TLP": 0x40000,
    "ECRC": 0x80000,
    "UNSUP": 0x100000,
    "ACSV": 0x200000,
    "INTN": 0x400000,
    "MCBTLP": 0x800000,
    "ATOMEG": 0x1000000,
    "TLPPRE": 0x2000000,
}
_CORRECTABLE: dict[str, Mask] = {
    "RCVR": 0x1,
    "BAD_TLP": 0x40,
    "BAD_DLLP": 0x80,
    "REP_ROLL": 0x100,
    "REP_TIMER": 0x1000,
    "ADV_NFAT": 0x2000,
    "INTERNAL": 0x4000,
    "LOG_OVER": 0x8000,
}
_AER = (
    reg("PCI_ERR_UNCOR_STATUS", 0x04, 4, "PCI_ERR_UNC_", _UNCORRECTABLE),
    reg("PCI_ERR_UNCOR_MASK", 0x08, 4, "PCI_ERR_UNC_", _UNCORRECTABLE),
    reg("PCI_ERR_UNCOR_SEVER", 0x0C, 4, "PCI_ERR_UNC_", _UNCORRECTABLE),
    reg("PCI_ERR_COR_STATUS", 0x10, 4, "PCI_ERR_COR_", _CORRECTABLE),
    reg("PCI_ERR_COR_MASK", 0x14, 4, "PCI_ERR_COR_", _CORRECTABLE),
    reg(
        "PCI_ERR_CAP",
        0x18,
        4,
        "PCI_ERR_CAP_",
        {"first_error": 0x1F, "ECRC_GENC": 0x20, "ECRC_GENE": 0x40, "ECRC_CHKC": 0x80, "ECRC_CHKE": 0x100},
    ),
    reg("PCI_ERR_HEADER_LOG", 0x1C, 4),
    reg("header_log_1", 0x20, 4),
    reg("header_log_2", 0x24, 4),
    reg("header_log_3", 0x28, 4),
    reg(
        "PCI_ERR_ROOT_COMMAND",
        0x2C,
        4,
        "PCI_ERR_ROOT_CMD_",
        {"COR_EN": 0x1, "NONFATAL_EN": 0x2, "FATAL_EN": 0x4},
        when=lambda c: is_root(c.port_type),
    ),
    reg(
        "PCI_ERR_ROOT_STATUS",
        0x30,
        4,
        "PCI_ERR_ROOT_",
        {
            "COR_RCV": 0x1,
            "MULTI_COR_RCV": 0x2,
            "UNCOR_RCV": 0x4,
            "MULTI_UNCOR_RCV": 0x8,
            "FIRST_FATAL": 0x10,
            "NONFATAL_RCV": 0x20,
            "FATAL_RCV": 0x40,
        },
        when=lambda c: is_root(c.port_type),
    ),
    reg("PCI_ERR_ROOT_ERR_SRC", 0x34, 4, when=lambda c: is_root(c.port_type)),
)

_VC = (
    reg("PCI_VC_PORT_CAP1", 0x04, 4, "PCI_VC_CAP1_", {"EVCC": 0x7, "LPEVCC": 0x70, "ARB_SIZE": 0xC00}),
    reg(
        "PCI_VC_PORT_CAP2",
        0x08,
        4,
        "PCI_VC_CAP2_",
        {"32_PHASE": 0x2, "64_PHASE": 0x4, "128_PHASE": 0x8, "ARB_OFF": 0xFF000000},
    ),
    reg("PCI_VC_PORT_CTRL", 0x0C, 2, "PCI_VC_PORT_CTRL_", {"LOAD_TABLE": 0x1}),
    reg("PCI_VC_PORT_STATUS", 0x0E, 2, "PCI_VC_PORT_STATUS_", {"TABLE": 0x1}),
    reg(
        "PCI_VC_RES_CAP",
        0x10,
        4,
        "PCI_VC_RES_CAP_",
        {
            "32_PHASE": 0x2,
            "64_PHASE": 0x4,
            "128_PHASE": 0x8,
            "128_PHASE_TB": 0x10,
            "256_PHASE": 0x20,
            "ARB_OFF": 0xFF000000,
        },
    ),
    reg(
        "PCI_VC_RES_CTRL",
        0x14,
        4,
        "PCI_VC_RES_CTRL_",
        {"LOAD_TABLE": 0x10000, "ARB_SELECT": 0xE0000, "ID": 0x7000000, "ENABLE": 0x80000000},
    ),
    reg("PCI_VC_RES_STATUS", 0x1A, 2, "PCI_VC_RES_STATUS_", {"TABLE": 0x1, "NEGO": 0x2}),
)

_SRIOV = (
    reg("PCI_SRIOV_CAP", 0x04, 4, "PCI_SRIOV_CAP_", {"VFM": 0x1}),
    reg(
        "PCI_SRIOV_CTRL",
        0x08,
        2,
        "PCI_SRIOV_CTRL_",
        {"VFE": 0x1, "VFM": 0x2, "INTR": 0x4, "MSE": 0x8, "ARI": 0x10},
    ),
    reg("PCI_SRIOV_STATUS", 0x0A, 2, "PCI_SRIOV_STATUS_", {"VFM": 0x1}),
    reg("PCI_SRIOV_INITIAL_VF", 0x0C, 2),
    reg("PCI_SRIOV_TOTAL_VF", 0x0E, 2),
    reg("PCI_SRIOV_NUM_VF", 0x10, 2),
    reg("PCI_SRIOV_FUNC_LINK", 0x12, 1),
    reg("PCI_SRIOV_VF_OFFSET", 0x14, 2),
    reg("PCI_SRIOV_VF_STRIDE", 0x16, 2),
    reg("PCI_SRIOV_VF_DID", 0x1A, 2),
    reg("PCI_SRIOV_SUP_PGSIZE", 0x1C, 4),
    reg("PCI_SRIOV_SYS_PGSIZE", 0x20, 4),
    reg("PCI_SRIOV_BAR", 0x24, 4),
    *(reg(f"vf_bar_{index}", 0x24 + 4 * index, 4) for index in range(1, 6)),
    reg("PCI_SRIOV_VFM", 0x3C, 4),
)

_ACS: dict[str, Mask] = {"SV": 0x1, "TB": 0x2, "RR": 0x4, "CR": 0x8, "UF": 0x10, "EC": 0x20, "DT": 0x40}
_L1SS: dict[str, Mask] = {"PCIPM_L1_2": 0x1, "PCIPM_L1_1": 0x2, "ASPM_L1_2": 0x4, "ASPM_L1_1": 0x8}
_VENDOR_HEADER: dict[str, Mask] = {"id": 0xFFFF, "revision": 0xF0000, "length": 0xFFF00000}

_DPC = (
    reg(
        "PCI_EXP_DPC_CAP",
        0x04,
        2,
        "PCI_EXP_DPC_CAP_",
        {"RP_EXT": 0x20, "POISONED_TLP": 0x40, "SW_TRIGGER": 0x80, "DL_ACTIVE": 0x1000},
    ),
    reg("PCI_EXP_DPC_CTL", 0x06, 2, "PCI_EXP_DPC_CTL_", {"EN_FATAL": 0x1, "EN_NONFATAL": 0x2, "INT_EN": 0x8}),
    reg(
        "PCI_EXP_DPC_STATUS",
        0x08,
        2,
        "PCI_EXP_DPC_STATUS_",
        {"TRIGGER": 0x1, "TRIGGER_RSN": 0x6, "INTERRUPT": 0x8, "TRIGGER_RSN_EXT": 0x60},
    ),
    reg("PCI_EXP_DPC_SOURCE_ID", 0x0A, 2),
)

_DOE = (
    reg("PCI_DOE_CAP", 0x04, 4, "PCI_DOE_CAP_", {"INT_SUP": 0x1, "INT_MSG_NUM": 0xFFE}),
    reg("PCI_DOE_CTRL", 0x08, 4, "PCI_DOE_CTRL_", {"ABORT": 0x1, "INT_EN": 0x2, "GO": 0x80000000}),
    reg(
        "PCI_DOE_STATUS",
        0x0C,
        4,
        "PCI_DOE_STATUS_",
        {"BUSY": 0x1, "INT_STATUS": 0x2, "ERROR": 0x4, "DATA_OBJECT_READY": 0x80000000},
    ),
)

_TABLE: tuple[tuple[int, str, str, tuple[Register, ...]], ...] = (
    (0x01, "ERR", "advanced error reporting", _AER),
    (0x02, "VC", "virtual channel", _VC),
    (PCI_EXT_CAP_ID_DSN, "DSN", "device serial number", (reg("serial_low", 4, 4), reg("serial_high", 8, 4))),
    (
        0x04,
        "PWR",
        "power budgeting",
        (reg("PCI_PWR_DSR", 0x4, 1), reg("PCI_PWR_DATA", 0x8, 4), reg("PCI_PWR_CAP", 0xC, 1)),
    ),
    (0x05, "RCLD", "root complex link declaration", ()),
    (0x06, "RCILC", "root complex internal link control", ()),
    (
        0x07,
        "RCEC",
        "root complex event collector",
        (reg("PCI_RCEC_RCIEP_BITMAP", 4, 4), reg("PCI_RCEC_BUSN", 8, 4)),
    ),
    (0x08, "MFVC", "multi-function virtual channel", ()),
    (0x09, "VC9", "virtual channel (id 9)", _VC),
    (0x0A, "RCRB", "root complex register block", ()),
    (PCI_EXT_CAP_ID_VNDR, "VNDR", "vendor-specific", (reg("PCI_VNDR_HEADER", 4, 4, "", _VENDOR_HEADER),)),
    (0x0C, "CAC", "configuration access correlation", ()),
    (
        0x0D,
        "ACS",
        "access control services",
        (reg("PCI_ACS_CAP", 4, 2, "PCI_ACS_", _ACS), reg("PCI_ACS_CTRL", 6, 2, "PCI_ACS_", _ACS)),
    ),
    (
        0x0E,
        "ARI",
        "alternative routing id",
        (
            reg("PCI_ARI_CAP", 4, 2, "PCI_ARI_CAP_", {"MFVC": 0x1, "ACS": 0x2, "next_function": 0xFF00}),
            reg("PCI_ARI_CTRL", 6, 2, "PCI_ARI_CTRL_", {"MFVC": 0x1, "ACS": 0x2, "group": 0x70}),
        ),
    ),
    (
        0x0F,
        "ATS",
        "address translation services",
        (
            reg("PCI_ATS_CAP", 4, 2, "PCI_ATS_CAP_", {"queue_depth": 0x1F, "PAGE_ALIGNED": 0x20}),
            reg("PCI_ATS_CTRL", 6, 2, "PCI_ATS_CTRL_", {"unit": 0x1F, "ENABLE": 0x8000}),
        ),
    ),
    (0x10, "SRIOV", "single root I/O virtualization", _SRIOV),
    (0x11, "MRIOV", "multi root I/O virtualization", ()),
    (0x12, "MCAST", "multicast", ()),
    (
        0x13,
        "PRI",
        "page request interface",
        (
            reg("PCI_PRI_CTRL", 4, 2, "PCI_PRI_CTRL_", {"ENABLE": 0x1, "RESET": 0x2}),
            reg(
                "PCI_PRI_STATUS",
                6,
                2,
                "PCI_PRI_STATUS_",
                {"RF": 0x1, "UPRGI": 0x2, "STOPPED": 0x100, "PASID": 0x8000},
            ),
            reg("PCI_PRI_MAX_REQ", 0x08, 4),
            reg("PCI_PRI_ALLOC_REQ", 0x0C, 4),
        ),
    ),
    (0x14, "AMD_XXX", "reserved for AMD", ()),
    (
        0x15,
        "REBAR",
        "resizable BARs",
        (
            reg("PCI_REBAR_CAP", 4, 4, "PCI_REBAR_CAP_", {"SIZES": 0xFFFFF0}),
            reg(
                "PCI_REBAR_CTRL",
                8,
                4,
                "PCI_REBAR_CTRL_",
                {"BAR_IDX": 0x7, "NBAR_MASK": 0xE0, "BAR_SIZE": (0x1F00, lambda power: f"{1 << power} MiB")},
            ),
        ),
    ),
    (
        0x16,
        "DPA",
        "dynamic power allocation",
        (reg("PCI_DPA_CAP", 4, 4, "PCI_DPA_CAP_", {"SUBSTATE_MASK": 0x1F}),),
    ),
    (
        0x17,
        "TPH",
        "TPH requester",
        (reg("PCI_TPH_CAP", 4, 4, "PCI_TPH_CAP_", {"LOC_MASK": 0x600, "ST_MASK": 0x7FF0000}),),
    ),
    (
        0x18,
        "LTR",
        "latency tolerance reporting",
        (
            reg("PCI_LTR_MAX_SNOOP_LAT", 4, 2, "PCI_LTR_", {"VALUE_MASK": 0x3FF, "SCALE_MASK": 0x1C00}),
            reg("PCI_LTR_MAX_NOSNOOP_LAT", 6, 2, "PCI_LTR_", {"VALUE_MASK": 0x3FF, "SCALE_MASK": 0x1C00}),
        ),
    ),
    (0x19, "SECPCI", "secondary PCI Express", ()),
    (0x1A, "PMUX", "protocol multiplexing", ()),
    (
        0x1B,
        "PASID",
        "process address space id",
        (
            reg("PCI_PASID_CAP", 4, 2, "PCI_PASID_CAP_", {"EXEC": 0x2, "PRIV": 0x4, "width": 0x1F00}),
            reg("PCI_PASID_CTRL", 6, 2, "PCI_PASID_CTRL_", {"ENABLE": 0x1, "EXEC": 0x2, "PRIV": 0x4}),
        ),
    ),
    (0x1D, "DPC", "downstream port containment", _DPC),
    (
        0x1E,
        "L1SS",
        "L1 PM substates",
        (
            reg(
                "PCI_L1SS_CAP", 4, 4, "PCI_L1SS_CAP_", {**_L1SS, "L1_PM_SS": 0x10, "CM_RESTORE_TIME": 0xFF00}
            ),
            reg("PCI_L1SS_CTL1", 8, 4, "PCI_L1SS_CTL1_", {**_L1SS, "CM_RESTORE_TIME": 0xFF00}),
            reg("PCI_L1SS_CTL2", 12, 4),
        ),
    ),
    (
        0x1F,
        "PTM",
        "precision time measurement",
        (
            reg("PCI_PTM_CAP", 4, 4, "PCI_PTM_CAP_", {"REQ": 0x1, "ROOT": 0x4}),
            reg("PCI_PTM_CTRL", 8, 4, "PCI_PTM_CTRL_", {"ENABLE": 0x1, "ROOT": 0x2}),
        ),
    ),
    (
        PCI_EXT_CAP_ID_DVSEC,
        "DVSEC",
        "designated vendor-specific",
        (
            reg("PCI_DVSEC_HEADER1", 4, 4, "", {"vendor": 0xFFFF, "revision": 0xF0000, "length": 0xFFF00000}),
            reg("PCI_DVSEC_HEADER2", 8, 2),
        ),
    ),
    (
        0x25,
        "DLF",
        "data link feature",
        (reg("PCI_DLF_CAP", 4, 4, "PCI_DLF_", {"EXCHANGE_ENABLE": 0x80000000}),),
    ),
    (0x26, "PL_16GT", "physical layer 16 GT/s", ()),
    (0x2E, "DOE", "data object exchange", _DOE),
)

EXTENDED_CAPABILITIES: dict[int, Layout] = {
    number: Layout(name, number, title, registers) for number, name, title, registers in _TABLE
}
